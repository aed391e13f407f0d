# Figures, the audit of everything behind them, and last the main table.
# The table waits for the audit: a number is printed only after its whole chain was verified.
# These stages read what the plan names; a command line could not hold thousands of files.


FIGURE_FILES = [file for files in PLAN.figure_files().values() for file in files]
TABLE_FILES = [file for files in PLAN.table_files().values() for file in files]


rule figure:
    input:
        results=FIGURE_FILES,
        recipes=recipes(FIGURE_FILES),
    output:
        figures=PLAN.figures(),
        recipe="results/figures/recipe.json",
    log:
        "logs/figure.log",
    benchmark:
        "benchmarks/jobs/figure.tsv"
    params:
        wanted=PLAN.wanted("figure"),
    shell:
        "exec bat --threads {threads} --log {log:q} figure --out results/figures"


rule audit:
    input:
        results=[*TABLE_FILES, *rules.figure.output.figures],
        recipes=recipes([*TABLE_FILES, rules.figure.output.recipe]),
    output:
        verified="results/audit/verified.json",
        recipe="results/audit/recipe.json",
    log:
        "logs/audit.log",
    benchmark:
        "benchmarks/jobs/audit.tsv"
    params:
        wanted=PLAN.wanted("audit"),
    shell:
        "exec bat --threads {threads} --log {log:q} audit run --out results/audit"


rule table:
    input:
        results=TABLE_FILES,
        audit=rules.audit.output.verified,
        recipes=recipes([*TABLE_FILES, rules.audit.output.verified]),
    output:
        main="results/tables/main.csv",
        long="results/tables/main_long.csv",
        markdown="results/tables/main.md",
        cells="results/tables/cells.json",
        gap="results/tables/gap.csv",
        recipe="results/tables/recipe.json",
    log:
        "logs/table.log",
    benchmark:
        "benchmarks/jobs/table.tsv"
    params:
        wanted=PLAN.wanted("table"),
    shell:
        "exec bat --threads {threads} --log {log:q} table --out results/tables"


# A view of the records, not a result: no record of its own, no part of `all`. Verdicts and
# certificates come later than the table; `bat audit page` makes it anew at any time.
rule page:
    input:
        cells=rules.table.output.cells,
        recipe=rules.table.output.recipe,
        figures=rules.figure.output.recipe,
    output:
        page="results/audit/index.html",
    log:
        "logs/page.log",
    shell:
        "exec bat --threads {threads} --log {log:q} audit page --out {output.page:q}"


# One target per stage, for people and for the stages of dvc.yaml.


rule all_sources:
    input:
        expand("data/source/{name}/recipe.json", name=[*PARAMS.datasets, *PLAN.fetched]),


rule all_recordings:
    input:
        expand(rules.resample.output.ledger, dataset=PARAMS.datasets),


rule all_manifests:
    input:
        expand(rules.prepare.output.manifest, task=PARAMS.tasks),


rule all_spectrograms:
    input:
        [
            rules.frontend.output.spectrograms.format(frontend=frontend, task=task)
            for frontend, task in PLAN.spectrograms
        ],


rule all_encoders:
    input:
        [
            rules.pretrain.output.encoder.format(model=model, group=group)
            for model, group in PLAN.encoders
        ],


rule all_tokens:
    input:
        [
            rules.embed.output.tokens.format(model=model, group=group, task=task)
            for model, group, task in PLAN.tokens
        ],


rule all_probes:
    input:
        [
            file
            for file in [*TABLE_FILES, *FIGURE_FILES]
            if file.startswith("results/probe/")
        ],


rule all_finetuned:
    input:
        [file for file in TABLE_FILES if file.startswith("results/finetune/")],


rule all_baselines:
    input:
        [file for file in TABLE_FILES if file.startswith("results/baseline/")],
