"""The command line explains itself, and a problem is one line and no traceback."""

import os
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from audit.made import cells_json, made_cell
from bat.cli import app
from bat.settings import STAGES
from params.conftest import REPOSITORY, default_content, write_yaml
from provenance.conftest import make

ROOT = typer.main.get_command(app)


def commands(group=ROOT, prefix=()):
    """Every command by the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


COMMANDS = dict(commands())
DOWNLOAD = ["download", "--dataset", "meetings", "--out", "out"]


def bat(folder, *arguments, **environment):
    """Run ``python -m bat`` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "bat", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def complaint(done):
    """The one line that a failed command says."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "error: " in line
    return line.partition("error: ")[2]


@pytest.fixture
def folder(tmp_path):
    """A folder to run in, with the default parameters."""
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    return tmp_path


# --- help -------------------------------------------------------------------------------------


def test_every_stage_has_a_command():
    names = {words[-1] if words != ("audit", "run") else "audit" for words in COMMANDS}
    assert set(STAGES) <= names


def test_the_program_explains_itself(tmp_path):
    done = bat(tmp_path, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for text in ("snakemake --cores", "bat audit trace", "bat audit verify", *STAGES):
        assert text in done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words):
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="bat")
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    assert "Example: bat " in text or "The workflow calls this" in text or "stage that" in text
    for parameter in COMMANDS[words].params:
        shown = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
        assert shown in text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_example_in_the_help_is_a_valid_command(words):
    command = COMMANDS[words]
    _, _, example = command.help.partition("Example: ")
    if example:
        program, *called = shlex.split(example)
        assert program == "bat"
        ROOT.make_context("bat", list(called))  # raises where an option is unknown
        called = called[called.index(words[0]) :]  # options of the program come first
        assert called[: len(words)] == list(words)
        command.make_context("bat", called[len(words) :])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nope"], "No such command 'nope'"),
        (["download"], "Missing option '--dataset'"),
        (["download", "--dataset", "x"], "Missing option '--out'"),
        (["probe", "--model", "x"], "Missing option '--task'"),
        ([*DOWNLOAD, "--colour", "red"], "No such option: --colour"),
        (["--threads", "0", *DOWNLOAD], "Invalid value for '--threads'"),
        (["--threads", "many", *DOWNLOAD], "Invalid value for '--threads'"),
        (["audit", "nope"], "No such command 'nope'"),
        (["show"], "Missing argument"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(arguments, expected):
    done = CliRunner().invoke(app, arguments, prog_name="bat")
    assert done.exit_code == 2
    assert expected in " ".join(done.output.split())


# --- problems ---------------------------------------------------------------------------------


def test_an_input_that_nothing_made_is_named(folder):
    inputs = ["--source", "nowhere/archive", "--out", "out"]
    done = bat(folder, "resample", "--dataset", "meetings", *inputs)
    assert "nowhere: has no recipe.json" in complaint(done)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("command", "first"),
    [
        (["figure"], "results/probe/bat-mini/speaker/cgp@prototypes=8/all"),
        (["audit", "run"], "results/probe/bat-mini/speaker/lp/all"),
        (["table"], "results/probe/bat-mini/speaker/lp/all"),
    ],
)
def test_a_stage_that_reads_every_result_names_the_first_that_is_not_there(folder, command, first):
    found = complaint(bat(folder, *command, "--out", "out"))
    assert found.startswith(f"{first}: has no recipe.json")
    assert not (folder / "out").exists()


def test_a_folder_is_not_downloaded(folder):
    content = default_content()
    content["datasets"]["meetings"]["source"] = {"kind": "folder", "path": "x", "licence": "MIT"}
    write_yaml(folder / "params.yaml", content)
    found = complaint(bat(folder, *DOWNLOAD))
    assert found == "meetings: a folder is not downloaded; see bat inventory"


def test_golden_vectors_that_are_not_there_are_no_success(folder):
    assert "nowhere" in complaint(bat(folder, "conformance", "nowhere"))


def test_the_sizes_of_the_papers_encoders_and_probes_are_printed(folder):
    done = bat(folder, "sizes", "--classes", "527")
    assert done.returncode == 0, done.stderr
    assert "23,490,539" in done.stdout.replace("_", ",")


def test_something_undefined_is_told_what_is_defined(folder):
    inputs = ["--manifest", "m", "--spectrograms", "s", "--out", "out"]
    found = complaint(bat(folder, "baseline", "--task", "nope", *inputs))
    assert found == "unknown task 'nope'; known: speaker, mixture"


def test_a_missing_parameter_file_is_named(folder):
    found = complaint(bat(folder, "--params", "absent.yaml", *DOWNLOAD))
    assert found == "absent.yaml: no such parameter file"


def test_the_parameter_file_may_be_told_by_the_environment(folder):
    found = complaint(bat(folder, *DOWNLOAD, BAT_PARAMS="other.yaml"))
    assert found == "other.yaml: no such parameter file"


def test_a_wrong_parameter_stops_every_stage(folder):
    path = folder / "params.yaml"
    path.write_text(path.read_text("utf-8") + "\nsurprise: 1\n", encoding="utf-8")
    found = complaint(bat(folder, *DOWNLOAD))
    assert found.startswith("params.yaml: surprise: unknown key (value 1); allowed: baseline, ")


def test_a_problem_stands_in_the_log_too(folder):
    log = "logs/deep/baseline.log"
    inputs = ["--manifest", "m", "--spectrograms", "s", "--out", "out"]
    found = complaint(bat(folder, "--log", log, "baseline", "--task", "nope", *inputs))
    assert found in (folder / log).read_text("utf-8")


def test_a_log_that_cannot_be_written_is_named(folder):
    found = complaint(bat(folder, "--log", "params.yaml/x.log", *DOWNLOAD))
    assert found.startswith("params.yaml")


def test_showing_a_table_that_is_not_there_says_how_to_build_it(folder):
    found = complaint(bat(folder, "show", "results/tables/main.csv"))
    assert "build it: snakemake --cores 2 results/tables/main.csv" in found


def test_tracing_without_a_table_says_how_to_build_it(folder):
    found = complaint(bat(folder, "audit", "trace", "bat-mini,cgp,speaker,accuracy"))
    assert found.startswith("results/tables/cells.json: not there; build the table first")


CELLS = cells_json(made_cell())


def test_tracing_an_unknown_cell_shows_a_known_one(folder):
    make(folder / "tables", {"cells.json": CELLS})
    found = complaint(bat(folder, "audit", "trace", "nope", "--tables", "tables"))
    assert found == "nope: no such cell; there are 1, e.g. bat-mini,cgp,speaker,accuracy"


@pytest.mark.parametrize("content", [b"", CELLS[:-9], CELLS.replace(b"cgp", b"lp")])
def test_tracing_in_a_table_that_was_changed_names_the_file(folder, content):
    make(folder / "tables", {"cells.json": CELLS})
    (folder / "tables" / "cells.json").write_bytes(content)
    done = bat(folder, "audit", "trace", "bat-mini,cgp,speaker,accuracy", "--tables", "tables")
    assert complaint(done).startswith("tables/cells.json: changed after stage made made it")


def test_verifying_an_empty_folder_is_no_success(folder):
    (folder / "empty").mkdir()
    found = complaint(bat(folder, "audit", "verify", "empty"))
    assert found == "empty: no recipe.json found; nothing was run here yet"
    found = complaint(bat(folder, "audit", "verify"))
    assert found.startswith("results/tables: nothing was run here yet; run it: snakemake")
