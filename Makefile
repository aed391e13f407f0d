# The whole project in four commands; `make help` lists them.
VENV ?= .venv
PYTHON ?= python3
CORES ?= 2
BIN := $(VENV)/bin

.PHONY: help install demo test lint clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make the virtual environment from the lock file

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bat needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; choose another one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Run the default experiment on real audio (about ten minutes on two cores)
	$(BIN)/snakemake --cores $(CORES) results/tables/main.csv
	@$(BIN)/bat show results/tables/main.csv
	@$(BIN)/bat audit page

test: install ## Run the tests
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile

lint: install ## Check style, types and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python tests/lint_workflow.py

clean: ## Remove everything that the pipeline made (not the environment, data/raw, data/weights, data/ledgers)
	rm -rf data/source data/pcm data/manifest data/spectrograms data/tokens results logs benchmarks/jobs .snakemake
