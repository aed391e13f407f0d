"""For every check of the verification a planted fault, and exactly what stands on it goes red."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from ruamel.yaml import YAML

from audit.mutants import (
    AUDIT,
    FIGURES,
    RECIPE,
    RUN_LOG,
    TABLE_FILES,
    TABLES,
    Copy,
    canonical,
    flip,
    name_of,
)
from bat.audit.experiment import Experiment
from bat.audit.sources import check_sources
from bat.audit.verification import verify_experiment
from bat.data.sources import INVENTORY_SCHEMA, take_inventory
from bat.data.tables import write_table
from bat.evaluation.metrics import evaluate
from bat.evaluation.runs import read_predictions, write_predictions
from bat.provenance.recipe import read_recipe
from bat.workflow import Plan
from pipeline.conftest import Experiment as PipelineRun
from pipeline.tiny import REPOSITORY
from provenance.conftest import job

INVENTORY = "inventory.parquet"
mutant = pytest.mark.mutants
KINDS = [
    ("download", "archive"),
    ("resample", "ledger.parquet"),
    ("resample", "pcm.npy"),
    ("resample", "index.parquet"),
    ("prepare", "manifest.parquet"),
    ("frontend", "spectrograms.safetensors"),
    ("pretrain", "encoder.safetensors"),
    ("pretrain", "curves.parquet"),
    ("pretrain", "clips.json"),
    ("embed", "tokens.safetensors"),
    ("probe", "heads.safetensors"),
    ("probe", "metrics.json"),
    ("probe", "predictions.parquet"),
    ("finetune", "metrics.json"),
    ("finetune", "predictions.parquet"),
    ("finetune", "curves.parquet"),
    ("baseline", "metrics.json"),
    ("baseline", "predictions.parquet"),
    ("figure", "training.png"),
    ("figure", "blocks.png"),
    ("figure", "blocks.csv"),
    ("figure", "prototypes.png"),
    ("figure", "prototypes.csv"),
    ("figure", "frontends.png"),
    ("figure", "attention.png"),
    ("figure", "attention.csv"),
    ("audit", "verified.json"),
    ("table", "main.csv"),
    ("table", "main_long.csv"),
    ("table", "main.md"),
    ("table", "cells.json"),
    ("table", "gap.csv"),
]
STAGES = list(dict.fromkeys(stage for stage, _ in KINDS))
LP, CGP = "results/probe/bat-mini/speaker/lp/all", "results/probe/bat-mini/speaker/cgp/all"
OF_CGP = {f"bat-mini,cgp,speaker,{metric}" for metric in ("accuracy", "mAP")}
ONE = "bat-mini,cgp,speaker,accuracy"


@pytest.fixture(scope="module")
def intact(finished, tmp_path_factory):
    """A copy of a finished experiment, without what Snakemake keeps.

    Nor with the register of records: who makes recipes anew does away with it. What is found
    without it is found here; what it finds besides has mutants of its own.
    """
    folder = tmp_path_factory.mktemp("mutants") / "intact"
    for name in ("data", "results"):
        shutil.copytree(finished.folder / name, folder / name)
    shutil.rmtree(folder / "results/register", ignore_errors=True)
    shutil.copy(finished.folder / "params.yaml", folder)
    return folder


@pytest.fixture
def copy(intact, tmp_path, monkeypatch):
    """A copy to damage, in which the test runs."""
    folder = tmp_path / "copy"
    shutil.copytree(intact, folder)
    monkeypatch.chdir(folder)
    yield Copy(folder)
    shutil.rmtree(folder)


def verified():
    return verify_experiment(Plan(Path("params.yaml")), jobs=2)


def red(report):
    """Cells and figures that do not hold."""
    return tuple(
        {name for name, state in states.items() if state == "red"}
        for states in (report.cells, report.figures)
    )


def kinds(report):
    return {problem.kind for problem in report.problems}


def everything(copy):
    return {name_of(cell) for cell in copy.cells()}


def everything_in(report):
    return set(report.cells)


def test_nothing_is_wrong_with_what_nobody_touched(copy):
    report = verified()
    assert report.problems == []
    assert set(report.cells) == everything(copy)
    assert red(report) == (set(), set())
    outputs = [file for folder in copy.folders() for file in copy.outputs(folder)]
    assert report.files == len(outputs)
    assert report.bytes == sum(copy.path(file).stat().st_size for file in outputs)


def test_the_command_prints_what_depends_on_what_is_wrong_and_fails(copy):
    bat = PipelineRun(copy.folder).bat
    done = bat("audit", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    count = len(everything(copy))
    assert f"{count} of {count} cells and 8 of 8 files of figures hold" in done.stdout
    flip(copy.path(f"{CGP}/predictions.parquet"))
    done = bat("audit", "verify")
    assert done.returncode == 1
    assert f"  cells: {' '.join(sorted(OF_CGP))}" in done.stdout
    assert f"2 of {count} cells depend on what is wrong" in done.stdout
    assert done.stderr.startswith(f"error: 1 problems, the first: {CGP}/predictions.parquet")
    done = bat("audit", "verify", "--json", "--jobs", "1", "--no-recompute")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert {name for name, state in told["cells"].items() if state == "red"} == OF_CGP
    assert set(told["problems"][0]["cells"]) == OF_CGP
    assert bat("audit", "verify", "data").returncode == 0
    assert bat("audit", "verify", CGP).returncode == 1


def test_every_kind_of_file_that_a_stage_writes_is_flipped_below(copy):
    found = {
        (copy.recipe(folder)["stage"], output["name"])
        for folder in copy.folders()
        for output in copy.recipe(folder)["outputs"]
    }
    assert found == set(KINDS)


# --- bytes --------------------------------------------------------------------------------------


@mutant
@pytest.mark.parametrize(("stage", "name"), KINDS)
def test_one_flipped_bit(copy, stage, name):
    files = copy.files(stage, name)
    for file in {files[0], files[-1]}:
        content = copy.path(file).read_bytes()
        expected = copy.dependents(file)
        flip(copy.path(file))
        report = verified()
        assert [(problem.kind, problem.path) for problem in report.problems] == [("file", file)]
        assert red(report) == expected
        copy.path(file).write_bytes(content)


@mutant
@pytest.mark.parametrize("stage", STAGES)
def test_one_flipped_bit_in_a_recipe(copy, stage):
    folder = copy.folders(stage)[-1]
    expected = copy.dependents(*copy.outputs(folder))
    flip(copy.path(f"{folder}/{RECIPE}"))
    report = verified()
    assert "record" in kinds(report) or "link" in kinds(report)
    assert any(folder in problem.message for problem in report.problems)
    assert red(report) == expected


@mutant
@pytest.mark.parametrize("stage", STAGES)
def test_a_recipe_that_is_not_in_its_canonical_form(copy, stage):
    folder = copy.folders(stage)[0]
    expected = copy.dependents(*copy.outputs(folder))
    path = copy.path(f"{folder}/{RECIPE}")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    report = verified()
    (problem,) = report.problems
    assert (problem.kind, problem.path) == ("record", folder)
    assert "not the canonical text" in problem.message
    assert red(report) == expected


@mutant
@pytest.mark.parametrize(
    ("stage", "name"), [("embed", "tokens.safetensors"), ("probe", "heads.safetensors")]
)
def test_two_valid_files_swapped_with_size_and_times_preserved(copy, stage, name):
    files = copy.files(stage, name)
    sizes = [copy.path(file).stat().st_size for file in files]
    one, other = [file for file, size in zip(files, sizes, strict=True) if sizes.count(size) > 1][
        :2
    ]
    assert copy.path(one).read_bytes() != copy.path(other).read_bytes()
    expected = copy.dependents(one, other)
    contents = [copy.path(file).read_bytes() for file in (one, other)]
    for file, content in zip((one, other), reversed(contents), strict=True):
        times = copy.path(file).stat()
        copy.path(file).write_bytes(content)
        os.utime(copy.path(file), ns=(times.st_atime_ns, times.st_mtime_ns))
    report = verified()
    assert {problem.path for problem in report.problems} == {one, other}
    assert red(report) == expected


@mutant
@pytest.mark.parametrize("name", ["predictions.parquet", RECIPE])
def test_a_file_removed(copy, name):
    expected = copy.dependents(*copy.outputs(CGP))
    copy.path(f"{CGP}/{name}").unlink()
    report = verified()
    assert any(CGP in problem.message for problem in report.problems)
    assert red(report)[0] == expected[0] == OF_CGP


@mutant
def test_a_figure_replaced_by_another(copy):
    copy.path(f"{FIGURES}/blocks.png").write_bytes(
        copy.path(f"{FIGURES}/training.png").read_bytes()
    )
    assert red(verified()) == (set(), {f"{FIGURES}/blocks.png"})


@mutant
def test_a_figure_replaced_and_its_recipe_made_anew(copy):
    copy.path(f"{FIGURES}/blocks.png").write_bytes(
        copy.path(f"{FIGURES}/training.png").read_bytes()
    )
    copy.remake(FIGURES)
    report = verified()
    assert kinds(report) == {"link", "audit"}
    cells, figures = red(report)
    assert cells == set()
    assert f"{FIGURES}/blocks.png" in figures


@mutant
@pytest.mark.parametrize("folder", [CGP, TABLES, "data/source/meetings"])
def test_a_file_planted_beside_the_outputs_of_a_job(copy, folder):
    copy.path(f"{folder}/metrics2.json").write_text("{}")
    report = verified()
    assert [(p.kind, p.path) for p in report.problems] == [
        ("unknown file", f"{folder}/metrics2.json")
    ]
    assert red(report) == (set(), set())


# --- records ------------------------------------------------------------------------------------


@mutant
def test_a_metric_edited_together_with_its_recipe(copy):
    expected = copy.dependents(*copy.outputs(CGP))
    edit_metric(copy, CGP)
    copy.remake(CGP)
    report = verified()
    assert kinds(report) == {"link", "metrics", "audit", "cell"}
    assert red(report) == expected


@mutant
@pytest.mark.parametrize(
    "folder", [CGP, "results/finetune/bat-mini/speaker/all", "results/baseline/mixture"]
)
def test_a_metric_edited_together_with_every_recipe_down_to_the_table(copy, folder):
    expected = copy.dependents(f"{folder}/metrics.json")
    edit_metric(copy, folder)
    copy.remake(folder)
    copy.remake_readers()
    rewrite_record_ids(copy)
    report = verified()
    assert kinds(report) == {"metrics"}
    assert red(report) == expected


@mutant
@pytest.mark.parametrize("whole", [False, True], ids=["its recipe", "its whole folder"])
def test_a_record_of_another_job_copied_over(copy, whole):
    expected = copy.dependents(*copy.outputs(CGP))
    for path in copy.path(LP).iterdir():
        if whole or path.name == RECIPE:
            shutil.copy(path, copy.path(CGP))
    report = verified()
    assert "place" in kinds(report)
    assert red(report) == expected


@mutant
def test_a_run_log_of_another_job(copy):
    shutil.copy(copy.path(f"{LP}/{RUN_LOG}"), copy.path(CGP))
    report = verified()
    assert kinds(report) == {"run log"}
    assert red(report) == copy.dependents(*copy.outputs(CGP))


@mutant
def test_settings_edited_in_a_recipe_and_every_recipe_made_anew(copy):
    recipe = copy.recipe(CGP)
    recipe["settings"]["probe"]["learning_rate"] *= 2
    copy.write_recipe(CGP, recipe)
    copy.remake_readers()
    rewrite_record_ids(copy)
    report = verified()
    assert kinds(report) == {"record", "parameters"}
    assert any("probe.learning_rate" in problem.message for problem in report.problems)
    assert red(report)[0] == OF_CGP


@mutant
def test_the_tokens_of_another_model_read_and_every_recipe_made_anew(copy):
    recipe = copy.recipe(CGP)
    for known in recipe["inputs"]:
        known["path"] = known["path"].replace("tokens/bat-mini", "tokens/eat-mini")
    copy.write_recipe(CGP, recipe)
    copy.remake_readers()
    rewrite_record_ids(copy)
    report = verified()
    assert kinds(report) == {"link"}
    assert all("is of model eat-mini, not bat-mini" in p.message for p in report.problems)
    assert red(report)[0] == OF_CGP


@mutant
def test_an_encoder_made_anew_after_it_was_read(copy):
    folder = "results/pretrain/eat-mini/early"
    expected = copy.dependents(*copy.outputs(folder))
    flip(copy.path(f"{folder}/encoder.safetensors"))
    copy.remake(folder)
    report = verified()
    assert kinds(report) == {"link", "audit"}
    assert red(report) == expected


# --- parameters ---------------------------------------------------------------------------------


@mutant
@pytest.mark.parametrize(
    ("keys", "value", "folders"),
    [
        (("probes", "lp", "learning_rate"), 0.123, "results/probe/*/*/lp*/*"),
        (
            ("models", "eat-mini", "pretraining", "learning_rate"),
            0.123,
            "results/pretrain/eat-mini/*",
        ),
        (("finetuning", "learning_rate"), 0.123, "results/finetune/*/*/*"),
        (("frontends", "bat", "mel_bins"), 64, "data/spectrograms/bat/*"),
        (("baseline", "inverse_regularisation"), 9.0, "results/baseline/*"),
        (("statistics", "confidence"), 0.9, TABLES),
        (("seeds", "finetune"), [0, 1], "results/finetune/*/*/*"),
    ],
    ids=[
        "a probe's",
        "a model's",
        "of fine-tuning",
        "a front end's",
        "of the baseline",
        "of statistics",
        "a further seed",
    ],
)
def test_a_parameter_changed_after_the_run(copy, keys, value, folders):
    made = [folder for folder in copy.folders() if Path(folder).match(folders)]
    expected = copy.dependents(*(file for folder in made for file in copy.outputs(folder)))
    change_parameter(keys, value)
    report = verified()
    told = [problem for problem in report.problems if problem.kind == "parameters"]
    assert {problem.path for problem in told} >= set(made)
    assert all(
        keys[-1] in p.message or "runs" in p.message or "mel_bins" in p.message
        for p in told
        if p.path in made
    )
    assert red(report)[0] == expected[0] != set()
    assert red(report)[1] >= expected[1]


# --- folds, seeds and clips ---------------------------------------------------------------------


@mutant
@pytest.mark.parametrize(
    "dropped",
    [pl.col("seed") == 1, pl.col("fold") == "meeting-2"],
    ids=["a seed", "a fold"],
)
@pytest.mark.parametrize("folder", [CGP, "results/probe/eat-mini/speaker/cgp/all"])
def test_runs_dropped_from_predictions_and_metrics_and_every_recipe_made_anew(
    copy, folder, dropped
):
    expected = copy.dependents(f"{folder}/predictions.parquet", f"{folder}/metrics.json")
    path = copy.path(f"{folder}/predictions.parquet")
    table = pl.read_parquet(path).filter(~dropped)
    table.write_parquet(path)
    kept = set(table.select("fold", "seed").unique().iter_rows())
    metrics = read_json(copy, f"{folder}/metrics.json")
    metrics["runs"] = [run for run in metrics["runs"] if (run["fold"], run["seed"]) in kept]
    copy.path(f"{folder}/metrics.json").write_text(canonical(metrics))
    copy.remake(folder)
    copy.remake_readers()
    rewrite_record_ids(copy)
    report = verified()
    of_folder = [problem for problem in report.problems if problem.kind == "runs"]
    assert {Path(problem.path).name for problem in of_folder} == {path.name, "metrics.json"}
    assert all("lacks fold" in problem.message for problem in of_folder)
    assert red(report) == expected


@mutant
def test_difficult_clips_left_out_of_a_test_and_every_recipe_made_anew(copy):
    change_predictions(copy, CGP, lambda table: table.filter(right(table)))
    report = verified()
    assert "runs" in kinds(report)
    assert any("test clips of the manifest" in problem.message for problem in report.problems)
    assert red(report)[0] == OF_CGP


@mutant
def test_labels_brought_in_line_with_the_predictions_and_every_recipe_made_anew(copy):
    best = pl.col("scores").list.eval(pl.element() == pl.element().max())
    change_predictions(copy, CGP, lambda table: table.with_columns(present=best))
    report = verified()
    assert any("labels are not those of the manifest" in p.message for p in report.problems)
    assert red(report)[0] == OF_CGP


@mutant
@pytest.mark.parametrize("change", ["flipped", "removed"])
def test_a_file_of_a_users_folder_changed_after_stock_was_taken(here, change):
    for name in ("a.wav", "part/b.wav"):
        path = here / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    folder, source = Path("data/source/own"), {"source": {"kind": "folder", "path": "own"}}
    with job(folder, stage="inventory", settings=source) as running:
        write_table(take_inventory(Path("own")), running.output(INVENTORY), INVENTORY_SCHEMA)
    recipes = {folder: read_recipe(folder)}
    experiment = Experiment(plan=Plan(REPOSITORY / "params.yaml"), rows=[], recipes=recipes, jobs=2)
    assert list(check_sources(experiment)) == []
    path = Path("own/part/b.wav")
    flip(path) if change == "flipped" else path.unlink()
    (problem,) = check_sources(experiment)
    assert (problem.kind, problem.path) == ("source", path)
    assert problem.spoils == (folder / INVENTORY,)


# --- the tables ---------------------------------------------------------------------------------


@mutant
@pytest.mark.parametrize("name", [name for name in TABLE_FILES if name != "cells.json"])
def test_a_number_edited_in_a_table_and_its_recipe_made_anew(copy, name):
    (cell,) = [cell for cell in copy.cells() if name_of(cell) == ONE]
    path = copy.path(f"{TABLES}/{name}")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    (place,) = [i for i, line in enumerate(lines) if is_row_of(line, cell)]
    mean = f"{cell['mean']:.2f}" if name == "main.md" else f"{cell['mean']}"
    lines[place] = lines[place].replace(mean, "99.99", 1)
    path.write_text("".join(lines), "utf-8")
    copy.remake(TABLES)
    report = verified()
    (problem,) = report.problems
    assert (problem.kind, problem.path) == ("table", f"{TABLES}/{name}")
    assert red(report) == ({ONE}, set())


@mutant
@pytest.mark.parametrize(
    "change",
    [
        {"mean": 99.99},
        {"std": 0.01},
        {"value": 0.9999},
        {"low": 50.0, "high": 51.0},
        {"clip_deviation": 0.0},
        {"n_seeds": 3},
        {"record": "0" * 16},
        {"folders": [LP]},
    ],
    ids=["mean", "std", "value", "interval", "deviation", "seeds", "record", "folders"],
)
def test_a_cell_edited_in_every_table_and_their_recipe_made_anew(copy, change):
    cells = [cell | (change if name_of(cell) == ONE else {}) for cell in copy.cells()]
    write_tables(copy, cells)
    report = verified()
    assert kinds(report) == {"cell"}
    assert red(report) == ({ONE}, set())


@mutant
def test_a_gap_that_nobody_found_and_its_recipe_made_anew(copy):
    path = copy.path(f"{TABLES}/gap.csv")
    path.write_text(path.read_text("utf-8") + ",".join(["x"] * 14) + "\n", "utf-8")
    copy.remake(TABLES)
    report = verified()
    assert [(p.kind, p.path) for p in report.problems] == [("table", f"{TABLES}/gap.csv")]
    assert red(report) == (set(), set())


@mutant
def test_a_cell_removed_from_every_table_and_their_recipe_made_anew(copy):
    write_tables(copy, [cell for cell in copy.cells() if name_of(cell) != ONE])
    report = verified()
    assert kinds(report) == {"cell"}
    assert red(report) == ({ONE}, set())


@mutant
def test_a_cell_that_nobody_measured_added_to_every_table(copy):
    (cell,) = [cell for cell in copy.cells() if name_of(cell) == ONE]
    write_tables(copy, [*copy.cells(), cell | {"model": "better", "mean": 99.9}])
    report = verified()
    assert kinds(report) == {"cell"}
    assert red(report) == ({"better,cgp,speaker,accuracy"}, set())


@mutant
def test_what_the_audit_verified_edited_and_every_recipe_made_anew(copy):
    path = copy.path(f"{AUDIT}/verified.json")
    verified_then = json.loads(path.read_text("utf-8"))
    verified_then["records"][CGP] = "0" * 64
    path.write_text(canonical(verified_then), "utf-8")
    copy.remake(AUDIT)
    recipe = copy.recipe(TABLES)
    for known in recipe["inputs"]:
        if known["path"] == f"{AUDIT}/verified.json":
            made = copy.recipe(AUDIT)["outputs"][0]["sha256"]
            known |= {"recipe": copy.recipe_id(AUDIT), "sha256": made}
    copy.write_recipe(TABLES, recipe)
    report = verified()
    assert kinds(report) == {"audit"}
    assert red(report)[0] == OF_CGP


@mutant
@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b"not JSON", b'[{"model": "x"}]', bytes(range(256)), b"[NaN]"]
)
@pytest.mark.parametrize("name", TABLE_FILES)
def test_a_table_of_nonsense_whose_recipe_agrees(copy, name, content):
    copy.path(f"{TABLES}/{name}").write_bytes(content)
    copy.remake(TABLES)
    report = verified()
    assert kinds(report) == {"cell" if name == "cells.json" else "table"}
    assert red(report) == (everything_in(report), set())


@mutant
@pytest.mark.parametrize("content", [b"{}", b"not JSON", b'{"records": 1}'])
def test_an_audit_of_nonsense_whose_recipe_agrees(copy, content):
    copy.path(f"{AUDIT}/verified.json").write_bytes(content)
    copy.remake(AUDIT)
    report = verified()
    assert kinds(report) == {"audit", "link"}
    assert red(report) == (everything_in(report), set())


@mutant
@pytest.mark.parametrize("content", [b"{}", b"not JSON", b'{"runs": [{}]}', b'{"runs": []}'])
@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet"])
def test_results_of_nonsense_whose_recipes_agree(copy, name, content):
    copy.path(f"{CGP}/{name}").write_bytes(content)
    copy.remake(CGP)
    copy.remake_readers()
    rewrite_record_ids(copy)
    report = verified()
    assert kinds(report) <= {"metrics", "runs"}
    assert red(report)[0] == OF_CGP


# --- what a forger needs ------------------------------------------------------------------------


def read_json(copy, name):
    return json.loads(copy.path(name).read_text("utf-8"))


def edit_metric(copy, folder):
    metrics = read_json(copy, f"{folder}/metrics.json")
    values = metrics["runs"][0]["metrics"]
    values[next(iter(values))] += 0.01
    copy.path(f"{folder}/metrics.json").write_text(canonical(metrics), "utf-8")


def change_predictions(copy, folder, change):
    """Change predictions, compute their metrics and make every recipe anew."""
    path = copy.path(f"{folder}/predictions.parquet")
    change(pl.read_parquet(path)).write_parquet(path)
    runs = read_predictions(path)
    write_predictions(path, runs)
    metrics = read_json(copy, f"{folder}/metrics.json")
    for told, run in zip(metrics["runs"], runs, strict=True):
        told["clips"] = len(run.clips)
        told["metrics"] = {name: evaluate(name, run) for name in told["metrics"]}
    copy.path(f"{folder}/metrics.json").write_text(canonical(metrics), "utf-8")
    copy.remake(folder)
    copy.remake_readers()
    rewrite_record_ids(copy)


def right(table):
    """Rows whose label has the highest score; one wrong one where a run has no right one."""
    hit = table["scores"].list.arg_max() == table["present"].list.arg_max()
    first = table.select(pl.struct("fold", "seed").is_first_distinct()).to_series()
    return hit | first


def rewrite_record_ids(copy):
    """Name the new records in the tables, where cells name the records behind them."""
    cells = copy.cells()
    for cell in cells:
        (folder,) = cell["folders"]
        cell["record"] = copy.recipe_id(folder)[:16]
    write_tables(copy, cells)


def write_tables(copy, cells):
    """Write cells and all tables of them, as the table stage does, and make their recipe anew."""
    from bat.stages.table import long_table, tables_of

    hidden = ("value", "runs", "clip_deviation", "folders")
    lines = [{key: value for key, value in cell.items() if key not in hidden} for cell in cells]
    columns = copy.path(f"{TABLES}/main_long.csv").read_text("utf-8").splitlines()[0].split(",")
    lines = [{column: line[column] for column in columns} for line in lines]
    settings = Plan(Path("params.yaml")).settings("table", {})
    for name, text in tables_of(long_table(lines), settings).items():
        copy.path(f"{TABLES}/{name}").write_text(text, "utf-8")
    copy.path(f"{TABLES}/cells.json").write_text(canonical(cells), "utf-8")
    copy.remake(TABLES)


def is_row_of(line, cell):
    """Tell whether a line of a table holds a cell: of CSV or of Markdown, long or wide."""
    words = [word.strip() for word in line.strip("| \n").replace("|", ",").split(",")]
    long = [cell[key] for key in ("model", "method", "task", "metric")]
    numbers = any(str(cell["mean"]) in word or f"{cell['mean']:.2f}" in word for word in words)
    return numbers and (words[:4] == long or (words[:2] == long[:2] and words[2] != long[2]))


def change_parameter(keys, value):
    yaml = YAML(typ="safe", pure=True)
    path = Path("params.yaml")
    params = yaml.load(path.read_text("utf-8"))
    section = params
    for key in keys[:-1]:
        section = section[key]
    assert section[keys[-1]] != value
    section[keys[-1]] = value
    yaml.sort_base_mapping_type_on_output = False
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
