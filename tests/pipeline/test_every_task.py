"""A task of every kind on a made data set in its published layout, from its files to the table."""

import json
import math
from itertools import pairwise

import polars as pl
import pytest

from bat.evaluation.decoding import CHARACTERS
from fixtures.layouts import COMMANDS, TRANSCRIPTS
from pipeline.conftest import MAIN, new_experiment
from pipeline.every_task import ABSENT, every_task_params, make_data_sets

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("every-task")]

# Clips that each task is tested on: what its layout holds, without what is absent.
TEST_CLIPS = {
    "audioset": 8 - ABSENT,
    "esc50": 5 * 4 * 2,
    "speech-commands": 12 + 2,  # words, and a tenth of 20 s of noise
    "sound-events": 1,
    "birds": 8,
    "speech": 2,
}
# Errors per word or letter, of which a long text may hold more than it has letters.
ERRORS = ("WER", "CER")


@pytest.fixture(scope="module")
def every_task(tmp_path_factory):
    """All tasks, run once; do not change it."""
    folder = tmp_path_factory.mktemp("every") / "run"
    make_data_sets(folder / "raw")
    experiment = new_experiment(folder, every_task_params())
    experiment.build(MAIN)
    return experiment


@pytest.fixture(scope="module")
def table(every_task):
    return pl.read_csv(every_task.folder / "results/tables/main_long.csv")


def manifest(experiment, task):
    return pl.read_parquet(experiment.folder / f"data/manifest/{task}/manifest.parquet")


def ledger(experiment, dataset):
    return pl.read_parquet(experiment.folder / f"data/pcm/{dataset}/ledger.parquet")


def predictions(experiment, cell):
    return pl.read_parquet(experiment.folder / f"results/{cell}/all/predictions.parquet")


def runs(experiment, cell):
    return json.loads(experiment.read(f"results/{cell}/all/metrics.json"))["runs"]


def expected_cells():
    params = every_task_params()
    for model, settings in params["models"].items():
        for name, task in params["tasks"].items():
            if task["kind"] == "unlabelled" or name not in settings.get("tasks", [name]):
                continue
            for method in task["methods"]:
                if method in settings.get("methods", [method]):
                    yield from ((model, method, name, metric) for metric in task["metrics"])


def test_every_model_method_task_and_metric_has_its_number(table):
    found = list(table.select("model", "method", "task", "metric").iter_rows())
    assert sorted(found) == sorted(expected_cells())


def test_every_task_is_tested_on_all_its_test_clips(table):
    for task, clips in TEST_CLIPS.items():
        assert table.filter(task=task)["n_clips"].unique().to_list() == [clips], task
    folds = dict(table.select("task", "n_folds").unique().iter_rows())
    assert folds == dict.fromkeys(TEST_CLIPS, 1) | {"esc50": 5}


def test_every_number_is_finite_and_in_its_range(table):
    for row in table.iter_rows(named=True):
        top = math.inf if row["metric"] in ERRORS else 100
        for column in ("mean", "low", "high"):
            assert math.isfinite(row[column]), row
            assert 0 <= row[column] <= top, row
        assert row["low"] <= row["high"]


def test_a_second_run_finds_nothing_to_do(every_task):
    assert every_task.planned() == {}


def test_the_audit_verifies_every_record(every_task):
    done = every_task.bat("audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(every_task.recipes())} records" in done.stdout
    verified = json.loads(every_task.read("results/audit/verified.json"))
    # a run per fold
    assert verified["runs_checked_for_leaks"] == sum(
        5 if "/esc50/" in recipe else 1
        for recipe in every_task.recipes()
        if "results/probe/" in recipe or "results/finetune/" in recipe
    )


@pytest.mark.parametrize("model", ["bat-tiny", "beats-tiny"])
def test_a_probe_of_tones_beats_chance_clearly(table, model):
    """Clips, features and labels belong together: four classes, of which chance finds a quarter."""
    cell = table.filter(model=model, method="lp", task="esc50", metric="accuracy")
    assert cell["mean"].item() > 70


def test_a_probe_of_events_finds_them_where_they_are(every_task, table):
    """Frames and labels belong together: each class sounds in three frames of ten."""
    cell = table.filter(method="cgp", task="sound-events")
    assert cell.filter(metric="frame_mAP")["mean"].item() > 60
    assert cell.filter(metric="onset_F1")["mean"].item() > 30


def test_predictions_of_events_hold_events(every_task):
    listed = json.loads(every_task.read("raw/dcase2016-task2/test.json"))["test_000.wav"]
    (row,) = predictions(every_task, "probe/bat-tiny/sound-events/cgp").iter_rows(named=True)
    reference = [(e["label"], e["onset_s"], e["offset_s"]) for e in row["reference_events"]]
    assert sorted(reference) == sorted(
        (event["label"], event["start"] / 1000, event["end"] / 1000) for event in listed
    )
    assert row["found_events"]
    for event in row["found_events"]:
        assert event["label"] in {"alert", "cough", "knock"}
        assert 0 <= event["onset_s"] <= event["offset_s"] <= 12.48
    # as many time patches as the spectrogram is padded to, 16 frames each, of three classes
    assert (row["frames"], len(row["scores"])) == (78, 78 * 3)


def test_predictions_of_speech_hold_texts(every_task):
    table = predictions(every_task, "probe/bat-tiny/speech/asr")
    assert table["reference_text"].to_list() == [text.lower() for text in TRANSCRIPTS[:2]]
    for text in table["found_text"]:
        assert set(text) <= set(CHARACTERS)
    assert set(table["scores"].list.len()) == {0}


def test_other_predictions_hold_one_score_per_class(every_task):
    table = predictions(every_task, "finetune/bat-tiny/speech-commands")
    assert set(table["scores"].list.len()) == {12}
    for column in ("frames", "reference_events", "found_events", "reference_text", "found_text"):
        assert table[column].null_count() == table.height


def test_silence_goes_to_train_validation_and_test_by_its_position(every_task):
    clips = manifest(every_task, "speech-commands")
    silence = clips.filter(pl.col("labels").list.contains("silence"))
    of_part = {
        part: sorted(component["start_sample"] for clip in rows["components"] for component in clip)
        for (part,), rows in silence.partition_by("part", as_dict=True).items()
    }
    assert {part: len(starts) for part, starts in of_part.items()} == {
        "train": 16, "validation": 2, "test": 2,
    }  # fmt: skip
    in_order = [start for part in ("train", "validation", "test") for start in of_part[part]]
    assert in_order[0] == 0
    assert all(after - before == 16_000 for before, after in pairwise(in_order))
    assert set(clips["part"]) == {"train", "validation", "test"}
    words = clips.filter(~pl.col("labels").list.contains("silence"))
    assert set(words["labels"].explode()) == {*COMMANDS, "unknown"}


def test_a_listed_clip_without_a_file_is_in_the_ledger_and_nowhere_else(every_task):
    rows = ledger(every_task, "audioset")
    missing = rows.filter(status="missing")
    assert dict(missing.group_by("part").len().iter_rows()) == dict.fromkeys(
        ("balanced_train", "unbalanced_train", "eval"), ABSENT
    )
    assert (missing["reason"] != "").all()
    absent = set(missing["recording_id"])
    index = pl.read_parquet(every_task.folder / "data/pcm/audioset/index.parquet")
    assert index.height == rows.height - 3 * ABSENT
    assert not absent & set(index["recording_id"])
    for task in ("audioset", "audioset-clips"):
        assert not absent & set(manifest(every_task, task)["group"].explode())
    heard = json.loads(every_task.read("results/pretrain/bat-tiny/all/clips.json"))
    assert not absent & set(heard["recordings"])
    assert len(heard["recordings"]) == 8 - ABSENT
    for cell in ("probe/bat-tiny/audioset/cgp", "finetune/bat-tiny/audioset"):
        assert not absent & set(predictions(every_task, cell)["clip_id"])


def test_validation_selects_a_step_where_the_task_wants_it(every_task):
    selected = {
        "probe/bat-tiny/speech-commands/lcgp": {1, 2, 3},
        "finetune/bat-tiny/speech-commands": {1, 2, 3},
        "probe/bat-tiny/speech/asr": {2},  # every second of three
    }
    for cell, steps in selected.items():
        assert all(run["selected_step"] in steps for run in runs(every_task, cell)), cell
    for cell in ("probe/bat-tiny/esc50/lp", "finetune/bat-tiny/esc50"):
        assert all(run["selected_step"] is None for run in runs(every_task, cell)), cell


def test_what_is_not_cached_is_written_nowhere(every_task):
    shards = {
        path.parent.relative_to(every_task.folder / "data").as_posix()
        for kind in ("spectrograms", "tokens")
        for path in (every_task.folder / "data" / kind).rglob("*.safetensors")
    }
    assert shards == {
        "spectrograms/bat/esc50", "spectrograms/beats/esc50", "spectrograms/bat/sound-events",
        "tokens/bat-tiny/all/esc50", "tokens/beats-tiny/all/esc50",
        "tokens/bat-tiny/all/sound-events",
    }  # fmt: skip
