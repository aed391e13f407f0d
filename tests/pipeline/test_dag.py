"""The default experiment, made small: what a run leaves behind, and what a change reruns."""

import csv
import json
import os
import re
import shutil
import zipfile

import numpy as np
import polars as pl
import pytest

from audio.recipes import encoded, noise
from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import (
    FIXTURE,
    REPOSITORY,
    default_params,
    file_source,
    tinier_params,
    tiny_params,
    write_params,
)

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]
FOLLOWS_A_METRIC = {"figure": 1, "audit": 1, "table": 1}
METRICS = {"speaker": ("accuracy", "mAP"), "mixture": ("mAP", "F1")}
CELLS = {
    ("bat-mini", "lp"): ["speaker"],
    ("bat-mini", "lcgp"): ["speaker"],
    ("bat-mini", "cgp"): ["speaker"],
    ("bat-mini", "protobin"): ["speaker", "mixture"],
    ("bat-mini", "head2toe"): ["speaker"],
    ("bat-mini", "finetune"): ["speaker"],
    ("eat-mini", "cgp"): ["speaker"],
    ("random-init", "lp"): ["speaker"],
    ("log-mel", "logistic-regression"): ["speaker", "mixture"],
}


def test_the_main_table_has_a_row_per_model_and_method(finished):
    rows = list(csv.DictReader(finished.read(MAIN).decode().splitlines()))
    assert [(row["model"], row["method"]) for row in rows] == list(CELLS)
    for row in rows:
        for task, metrics in METRICS.items():
            measured = task in CELLS[row["model"], row["method"]]
            for column in (f"{task} {metric}" for metric in metrics):
                assert bool(row[column]) == measured, (row["model"], row["method"], column)
                if measured:
                    assert_plausible(row, column)


def assert_plausible(row, column):
    low, mean, high = (float(row[column + end]) for end in (" low", "", " high"))
    assert 0 <= low <= high <= 100
    assert 0 <= mean <= 100
    assert float(row[column + " std"]) >= 0
    assert int(row[column + " n_clips"]) == 120
    assert int(row[column + " n_folds"]) == 5


def test_every_number_in_the_table_is_computable_from_the_stored_predictions(finished):
    long = pl.read_csv(finished.folder / "results/tables/main_long.csv")
    cells = json.loads(finished.read("results/tables/cells.json"))
    assert len(cells) == long.height
    by_name = {
        ",".join(cell[key] for key in ("model", "method", "task", "metric")): cell for cell in cells
    }
    accuracy = long.filter(metric="accuracy")
    assert accuracy.height == len(CELLS)
    for row in accuracy.iter_rows(named=True):
        name = ",".join([row["model"], row["method"], row["task"], row["metric"]])
        shares = []
        for folder in by_name[name]["folders"]:
            table = pl.read_parquet(finished.folder / folder / "predictions.parquet")
            right = table.with_columns(
                right=pl.col("scores").list.arg_max() == pl.col("present").list.arg_max()
            )
            shares += right.group_by("fold", "seed").agg(pl.col("right").mean())["right"].to_list()
        assert row["mean"] == pytest.approx(100 * sum(shares) / len(shares), abs=0.006)


def test_the_table_says_which_expectations_do_not_hold(finished):
    text = finished.read("results/tables/main.md").decode()
    assert "inequalities hold" in text
    held = text.count("| yes |")
    assert f"{held} of {held + text.count('| NO |')} inequalities" in text


def test_an_experiment_without_the_papers_cells_has_no_gaps_to_explain(finished):
    header, *rows = finished.read("results/tables/gap.csv").decode().splitlines()
    assert header.startswith("claim,model,method,task,metric,claimed,ours,difference,")
    assert rows == []


def test_a_second_run_finds_nothing_to_do(finished):
    done = finished.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert finished.planned() == {}


def test_every_job_left_a_recipe_a_run_log_a_log_and_a_benchmark(finished):
    for recipe in finished.recipes():
        folder = (finished.folder / recipe).parent
        run = json.loads((folder / "run.json").read_text())
        assert run["wall_s"] >= 0
        assert run["peak_memory_bytes"] > 0
        assert run["packages"]["torch"]
    jobs = len(finished.recipes())
    assert len(list((finished.folder / "logs").rglob("*.log"))) == jobs
    assert len(list((finished.folder / "benchmarks").rglob("*.tsv"))) == jobs


def test_recipes_name_no_time_host_or_absolute_path(finished):
    for name, content in finished.recipes().items():
        recipe = json.loads(content)
        paths = [known["path"] for known in recipe["inputs"]]
        assert not any(path.startswith("/") for path in paths), name
        assert os.uname().nodename not in {*recipe["selection"].values()}
        assert set(recipe) == {
            "code", "determinism", "environment_lock", "format", "inputs", "outputs",
            "selection", "settings", "stage", "wanted",
        }  # fmt: skip


def test_the_archive_of_a_cell_is_found_by_tracing_it(finished):
    done = finished.bat("audit", "trace", "main.csv#bat-mini,cgp,speaker,accuracy", "--verify")
    assert done.returncode == 0, done.stderr
    assert file_source(FIXTURE)["sha256"] in done.stdout
    assert set(re.findall(r"─ (\w+) (?:data|results)/", done.stdout)) == {
        "table", "probe", "embed", "pretrain", "frontend", "prepare", "resample", "download",
    }  # fmt: skip
    assert "all match" in done.stdout


def test_audit_verify_passes_on_what_was_just_built(finished):
    done = finished.bat("audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(finished.recipes())} records" in done.stdout
    assert "0 problems" in done.stdout


def test_pretraining_never_hears_a_meeting_that_it_is_tested_on(finished):
    groups = tiny_params()["groups"]
    manifest = pl.read_parquet(finished.folder / "data/manifest/speaker/manifest.parquet")
    for path in sorted(finished.folder.glob("results/pretrain/*/*/clips.json")):
        heard = set(json.loads(path.read_text())["recordings"])
        tested = manifest.filter(pl.col("part").is_in(groups[path.parent.name]["test"]))
        assert heard
        assert not heard & set(tested["group"].explode())
    verified = json.loads(finished.read("results/audit/verified.json"))
    # the audit looked at every run: five folds, and two seeds of every probe
    probes = sum("results/probe/" in recipe for recipe in finished.recipes())
    tunings = sum("results/finetune/" in recipe for recipe in finished.recipes())
    assert verified["runs_checked_for_leaks"] == 5 * (2 * probes + tunings)
    assert verified["runs_of_published_encoders"] == 0


def test_changing_one_probe_parameter_reruns_only_what_depends_on_it(copy):
    params = tiny_params()
    params["probes"]["head2toe"]["learning_rate"] = 0.125
    write_params(copy.folder, params)
    assert copy.planned() == {"probe": 1, "audit": 1, "table": 1}
    params = tiny_params()
    params["probes"]["cgp"]["learning_rate"] = 0.125
    write_params(copy.folder, params)
    # two models, and a variant with fewer prototypes; figures show them
    assert copy.planned() == {"probe": 3, **FOLLOWS_A_METRIC}


def test_changing_a_task_reruns_only_what_is_made_of_its_clips(copy):
    params = tiny_params()
    params["tasks"]["mixture"]["clips"]["seed"] = 7
    write_params(copy.folder, params)
    # encoders heard the clips of the other task
    assert copy.planned() == {
        "prepare": 1, "frontend": 1, "embed": 2, "probe": 1, "baseline": 1, "audit": 1, "table": 1,
    }  # fmt: skip


def test_what_a_task_changes_of_a_probe_reruns_only_that_task(copy):
    params = tiny_params()
    params["tasks"]["mixture"]["recipes"] = {"protobin": {"dropout": 0.1}}
    write_params(copy.folder, params)
    assert copy.planned() == {"probe": 1, "audit": 1, "table": 1}


def test_changing_a_comment_that_only_finetuning_imports_reruns_only_finetuning(copy, tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    assert copy.planned(env=env) == {}
    module = tmp_path / "src/bat/finetuning.py"
    module.write_text(module.read_text() + "# a remark\n")
    assert copy.planned(env=env) == {"finetune": 1, **FOLLOWS_A_METRIC}


def test_changing_one_probe_module_reruns_only_that_probe(copy, tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    module = tmp_path / "src/bat/probes/protobin.py"
    module.write_text(module.read_text() + "# a remark\n")
    assert copy.planned(env=env) == {"probe": 2, "audit": 1, "table": 1}


def test_two_clean_runs_give_the_same_bytes(finished, undisturbed):
    """Two experiments, each run in a folder of its own, have these jobs in common.

    Recipes hold the hash of every output. Figures and tables gather other results in each of the
    two; that they are repeated too is seen where a run is killed again and again.
    """
    gathering = ("results/baseline", "results/figures", "results/audit", "results/tables")
    of_both = finished.recipes().keys() & undisturbed.recipes().keys()
    shared = {name for name in of_both if not name.startswith(gathering)}
    assert {name.rpartition("/")[0] for name in shared} == {
        "data/source/meetings",
        "data/pcm/meetings",
        "data/manifest/speaker",
        "data/spectrograms/bat/speaker",
        "data/spectrograms/legacy/speaker",
        *(f"results/pretrain/bat-mini/{group}" for group in ("early", "late")),
        *(f"data/tokens/bat-mini/{group}/speaker" for group in ("early", "late")),
        *(
            f"results/probe/bat-mini/speaker/{probe}/all"
            for probe in ("lp", "cgp", "lp@block=-2", "cgp@prototypes=2")
        ),
        "results/finetune/bat-mini/speaker/all",
    }
    for name in shared:
        assert finished.recipes()[name] == undisturbed.recipes()[name], name
    for file in ("metrics.json", "predictions.parquet"):
        name = f"results/baseline/speaker/{file}"
        assert finished.read(name) == undisturbed.read(name)


def test_the_grain_of_jobs_does_not_move_a_number(undisturbed, tmp_path):
    params = tinier_params()
    params["grain"] = {"probe": "fold", "finetune": "run"}
    params["tasks"]["speaker"]["methods"] = ["cgp"]
    params["figures"] = {}
    split = undisturbed.copy_to(tmp_path / "split")
    write_params(split.folder, params)
    assert split.planned() == {"probe": 5, **FOLLOWS_A_METRIC}
    split.build(MAIN)

    def numbers(experiment):
        table = pl.read_csv(experiment.folder / "results/tables/main_long.csv")
        return table.drop("record").filter(pl.col("method").is_in(["cgp", "logistic-regression"]))

    assert numbers(split).height == 4
    assert numbers(split).equals(numbers(undisturbed))
    cells = json.loads(split.read("results/tables/cells.json"))
    assert [len(cell["folders"]) for cell in cells] == [5, 5, 1, 1]
    done = split.bat("audit", "trace", cells[0]["record"])
    assert done.returncode == 0, done.stderr
    assert all(folder in done.stdout for folder in cells[0]["folders"])


def test_one_run_alone_is_what_it_is_among_others(undisturbed, tmp_path):
    copy = undisturbed.copy_to(tmp_path / "copy")
    cell = "results/finetune/bat-mini/speaker"
    copy.build(f"{cell}/meeting-3.seed-0/predictions.parquet")
    alone = pl.read_parquet(copy.folder / cell / "meeting-3.seed-0/predictions.parquet")
    among = pl.read_parquet(copy.folder / cell / "all/predictions.parquet")
    assert alone.height > 0
    assert alone.equals(among.filter(fold="meeting-3", seed=0))


def test_bad_recordings_are_in_the_ledger_and_the_run_goes_on(with_bad_files):
    experiment, bad = with_bad_files
    ledger = pl.read_parquet(experiment.folder / "data/pcm/meetings/ledger.parquet")
    statuses = dict(ledger.select("recording_id", "status").iter_rows())
    for recording, status in bad.items():
        assert statuses[recording] == status, recording
    usable = [name for name, status in statuses.items() if status == "ok"]
    assert len(usable) == 40 + ODD_NAMES + sum(status == "ok" for status in bad.values())
    assert ledger.filter((pl.col("status") != "ok") & (pl.col("reason") == "")).is_empty()
    hashed = {name for name in statuses if "/file-" in name}
    assert len(hashed) == ODD_NAMES
    assert hashed <= {*usable}

    clips = pl.read_parquet(experiment.folder / "data/manifest/speaker/manifest.parquet")
    heard = set(clips["group"].explode())
    assert heard <= {*usable}
    assert {name for name, status in bad.items() if status == "ok"} | hashed <= heard
    assert not (experiment.folder / "hacked").exists()


def test_too_many_bad_recordings_stop_the_run(with_bad_files, tmp_path):
    experiment = with_bad_files[0].copy_to(tmp_path / "copy")
    params = bad_params(experiment.folder)
    params["datasets"]["meetings"]["maximum_bad_share"] = 0.01
    write_params(experiment.folder, params)
    done = experiment.snakemake(MAIN)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "of the files are bad, at most 1.0% allowed" in output
    assert "Traceback" not in output
    assert not (experiment.folder / "data/pcm/meetings/ledger.parquet").exists()


def test_the_default_parameters_plan_the_documented_number_of_jobs(tmp_path):
    experiment = new_experiment(tmp_path, default_params())
    planned = experiment.planned()
    assert f"{sum(planned.values())} jobs" in (REPOSITORY / "README.md").read_text()


@pytest.fixture(scope="module")
def with_bad_files(tmp_path_factory):
    """A run up to the front end, and the statuses that its broken recordings should have."""
    folder = tmp_path_factory.mktemp("bad") / "run"
    folder.mkdir()
    bad = write_broken_archive(folder / "broken.zip")
    experiment = new_experiment(folder, bad_params(folder))
    experiment.build("data/spectrograms/bat/speaker/spectrograms.safetensors")
    return experiment, bad


def bad_params(folder):
    params = tinier_params()
    source = file_source(folder / "broken.zip") | {"path": "broken.zip"}
    params["datasets"]["meetings"] |= {"source": source, "maximum_bad_share": 0.5}
    return params


ODD_NAMES = 5


def write_broken_archive(path):
    """The fixture's recordings and, of one speaker, files broken in every way."""
    sound = encoded(noise(2.0, seed=1))
    six = encoded(np.stack([noise(2.0, seed=2)] * 6, axis=1))
    not_numbers = noise(2.0, seed=3)
    not_numbers[100] = np.nan
    no_channels = bytearray(sound)
    no_channels[22:24] = (0).to_bytes(2, "little")
    members = {
        "truncated.wav": (sound[: len(sound) // 2], "corrupt"),
        "empty.wav": (b"", "empty"),
        "silent.wav": (encoded(np.zeros(32000, np.float32)), "silent"),
        "zeros.wav": (bytes(5000), "corrupt"),
        "nochannels.wav": (bytes(no_channels), "corrupt"),
        "six.wav": (six, "ok"),
        "nan.wav": (encoded(not_numbers, subtype="FLOAT"), "corrupt"),
        "flac.mp3": (encoded(noise(2.0, seed=4), container="FLAC"), "ok"),
        "text.wav": (b"this is not audio\n" * 50, "corrupt"),
        "short.wav": (encoded(noise(0.2, seed=5)), "short"),
    }
    odd = {
        "with 'quotes' and \"more\".wav": 6,
        "new\nline.wav": 7,
        "наречие 方言.wav": 8,
        "-leading dash.wav": 9,
        "$(touch hacked).wav": 10,
    }
    assert len(odd) == ODD_NAMES
    shutil.copy(FIXTURE, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, _) in members.items():
            archive.writestr(f"meeting-1/speaker-1/{name}", content)
        for name, seed in odd.items():
            archive.writestr(f"meeting-1/speaker-1/{name}", encoded(noise(2.0, seed=seed)))
        assert len(archive.namelist()) == 40 + len(members) + len(odd)
    return {
        f"meeting-1/speaker-1/{name.rsplit('.', 1)[0]}": status
        for name, (_, status) in members.items()
    }
