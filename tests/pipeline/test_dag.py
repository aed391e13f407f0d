import csv
import json
import os
import shutil

import polars as pl
import pytest
from ruamel.yaml import YAML

from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import FIXTURE, REPOSITORY, file_source, tinier_params, tiny_params, write_params

pytestmark = pytest.mark.pipeline
FOLLOWS_A_METRIC = {"figure": 1, "audit": 1, "table": 1}


def test_the_main_table_has_a_row_per_model_and_method(finished):
    rows = list(csv.DictReader(finished.read(MAIN).decode().splitlines()))
    params = tiny_params()
    expected = {(m, p) for m in params["models"] for p in [*params["probes"], "finetune"]}
    found = [(row["model"], row["method"]) for row in rows]
    assert sorted(found) == sorted([*expected, ("log-mel", "logistic-regression")])
    for row in rows:
        for column in ("speaker accuracy", "speaker mAP", "mixture mAP", "mixture F1"):
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
    by_name = {cell["cell"]: cell for cell in cells}
    accuracy = long.filter(metric="accuracy")
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
    archive = tiny_params()["source"]["sha256"]
    assert archive in done.stdout
    stages = [line.split()[0] for line in done.stdout.splitlines() if "record " in line]
    for stage in ("table", "probe", "embed", "pretrain", "frontend", "resample", "prepare"):
        assert stage in stages
    assert "all match" in done.stdout


def test_audit_verify_passes_on_what_was_just_built(finished):
    done = finished.bat("audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(finished.recipes())} records" in done.stdout
    assert "0 problems" in done.stdout


def test_pretraining_never_hears_a_meeting_that_it_is_tested_on(finished):
    groups = tiny_params()["groups"]
    manifest = pl.read_parquet(finished.folder / "data/manifest/speaker.parquet")
    for path in sorted(finished.folder.glob("results/pretrain/*/*/clips.json")):
        heard = set(json.loads(path.read_text())["recordings"])
        tested = manifest.filter(pl.col("meeting").is_in(groups[path.parent.name]["test"]))
        assert heard
        assert not heard & set(tested["group"].explode())
    verified = json.loads(finished.read("results/audit/verified.json"))
    probes = [r for r in finished.recipes() if "/probe/" in r or "/finetune/" in r]
    # the audit looked at every run of every probe in the table, and of every fine-tuning
    assert verified["runs_checked_for_leaks"] >= 5 * len(probes)


def test_changing_one_probe_parameter_reruns_only_what_depends_on_it(copy):
    params = tiny_params()
    params["probes"]["lcgp"]["learning_rate"] = 0.125
    write_params(copy.folder, params)
    # three models, two tasks
    assert copy.planned() == {"probe": 6, "audit": 1, "table": 1}


def test_changing_a_comment_that_only_finetuning_imports_reruns_only_finetuning(copy, tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    assert copy.planned(env=env) == {}
    module = tmp_path / "src/bat/finetuning.py"
    module.write_text(module.read_text() + "# a remark\n")
    assert copy.planned(env=env) == {"finetune": 6, **FOLLOWS_A_METRIC}


def test_changing_one_probe_module_reruns_only_that_probe(copy, tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    module = tmp_path / "src/bat/probes/head2toe.py"
    module.write_text(module.read_text() + "# a remark\n")
    assert copy.planned(env=env) == {"probe": 6, "audit": 1, "table": 1}


def test_two_clean_runs_give_the_same_bytes(undisturbed, tmp_path):
    again = new_experiment(tmp_path / "again", tinier_params())
    again.build(MAIN)
    assert again.read(MAIN) == undisturbed.read(MAIN)
    assert again.recipes() == undisturbed.recipes()


def test_the_grain_of_jobs_does_not_move_a_number(undisturbed, tmp_path):
    params = tinier_params()
    params["grain"] = {"probe": "fold", "finetune": "run"}
    split = new_experiment(tmp_path / "split", params)
    split.build(MAIN)

    def numbers(experiment):
        table = pl.read_csv(experiment.folder / "results/tables/main_long.csv")
        return table.drop("record")

    assert numbers(split).equals(numbers(undisturbed))
    for cell in json.loads(split.read("results/tables/cells.json")):
        done = split.bat("audit", "trace", cell["record"])
        assert done.returncode == 0, done.stderr


def test_bad_recordings_are_in_the_ledger_and_the_run_goes_on(tmp_path, archive_with_bad_files):
    archive, bad = archive_with_bad_files
    params = tinier_params()
    params["source"] = file_source(archive)
    params["data"]["maximum_bad_share"] = 0.5
    experiment = new_experiment(tmp_path / "run", params)
    experiment.build("all_spectrograms")
    ledger = pl.read_parquet(experiment.folder / "data/manifest/ledger.parquet")
    statuses = dict(ledger.select("recording_id", "status").iter_rows())
    for recording, status in bad.items():
        assert statuses[recording] == status, recording
    assert ledger.filter(pl.col("status") == "ok").height == 40 + sum(
        status == "ok" for status in bad.values()
    )
    assert ledger.filter((pl.col("status") != "ok") & (pl.col("reason") == "")).is_empty()


def test_too_many_bad_recordings_stop_the_run(tmp_path, archive_with_bad_files):
    archive, _ = archive_with_bad_files
    params = tinier_params()
    params["source"] = file_source(archive)
    params["data"]["maximum_bad_share"] = 0.01
    experiment = new_experiment(tmp_path / "run", params)
    done = experiment.snakemake(MAIN)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "of the files are bad, at most 1.0% allowed" in output
    assert "Traceback" not in output
    assert not (experiment.folder / "data/manifest/ledger.parquet").exists()


def test_the_default_parameters_plan_the_documented_number_of_jobs(tmp_path):
    shutil.copy(REPOSITORY / "params.yaml", tmp_path / "params.yaml")
    experiment = new_experiment(
        tmp_path, YAML(typ="safe", pure=True).load((REPOSITORY / "params.yaml").read_text())
    )
    planned = experiment.planned()
    assert f"{sum(planned.values())} jobs" in (REPOSITORY / "README.md").read_text()


@pytest.fixture
def archive_with_bad_files(tmp_path):
    """The fixture's recordings and, in one meeting, files broken in every way."""
    import zipfile

    import numpy as np

    from audio.recipes import encoded, noise

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
    path = tmp_path / "broken.zip"
    shutil.copy(FIXTURE, path)
    bad = {}
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, status) in members.items():
            archive.writestr(f"meeting-1/speaker-1/{name}", content)
            bad[f"meeting-1/speaker-1/{name.rsplit('.', 1)[0]}"] = status
        for name, seed in odd.items():
            archive.writestr(f"meeting-1/speaker-1/{name}", encoded(noise(2.0, seed=seed)))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 40 + len(members) + len(odd)
    from bat.data.sources import recordings

    ids = {source.recording_id for source in recordings(path)}
    hashed = {name for name in ids if "/file-" in name}
    assert len(hashed) == len(odd)
    return path, bad | dict.fromkeys(hashed, "ok")
