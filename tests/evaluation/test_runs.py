import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.errors import BatError
from bat.evaluation.metrics import evaluate
from bat.evaluation.runs import read_predictions, run_metrics, write_predictions
from bat.evaluation.statistics import Predictions


def run(fold="meeting-0", seed=0, clips=5, classes=3, generator=None):
    generator = generator or np.random.default_rng([len(fold), seed])
    return Predictions(
        fold=fold,
        seed=seed,
        clips=[f"{fold}/{index}" for index in range(clips)],
        scores=generator.random((clips, classes)).astype(np.float32).astype(np.float64),
        present=generator.random((clips, classes)) < 0.5,
    )


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.fold, one.seed, one.clips) == (other.fold, other.seed, other.clips)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.present, other.present)
        assert one.scores.dtype == np.float64
        assert one.present.dtype == bool


@given(
    keys=st.lists(
        st.tuples(st.sampled_from(["meeting-0", "meeting-1", "ä"]), st.integers(0, 3)),
        min_size=1, max_size=5, unique=True,
    ),
    clips=st.integers(1, 9),
    classes=st.integers(1, 4),
)  # fmt: skip
def test_predictions_survive_the_way_to_disk(tmp_path_factory, keys, clips, classes):
    path = tmp_path_factory.getbasetemp() / "predictions.parquet"
    runs = [run(fold, seed, clips, classes) for fold, seed in keys]
    write_predictions(path, runs)
    assert_same(read_predictions(path), runs)


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_predictions(tmp_path / name, [run(seed=0), run(seed=1)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_scores_are_stored_in_float32(tmp_path):
    write_predictions(tmp_path / "p", [run()])
    assert pl.read_parquet_schema(tmp_path / "p")["scores"] == pl.List(pl.Float32)


def test_a_metric_can_be_taken_anew_from_what_was_stored(tmp_path):
    one = run(clips=40)
    write_predictions(tmp_path / "p", [one])
    (again,) = read_predictions(tmp_path / "p")
    for metric in ("mAP", "F1"):
        assert evaluate(metric, again.scores, again.present) == evaluate(
            metric, one.scores, one.present
        )


def complaint(path):
    with pytest.raises(BatError) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "empty", "absent", "text"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [run(clips=200)])
    content = path.read_bytes()
    replacement = {
        "truncated": content[: len(content) // 2],
        "zeroed": bytes(len(content)),
        "empty": b"",
        "text": b"these are no predictions\n" * 10,
    }
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(replacement[damage])
    assert "not a table" in complaint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"fold": pl.lit(1)},
        {"scores": pl.col("scores").cast(pl.List(pl.Float64))},
        {"more": pl.lit(1)},
    ],
)
def test_a_table_of_something_else_is_named(tmp_path, change):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [run()])
    pl.read_parquet(path).with_columns(**change).write_parquet(path)
    assert "expected columns" in complaint(path)


def test_a_table_without_a_column_is_named(tmp_path):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [run()])
    pl.read_parquet(path).drop("present").write_parquet(path)
    assert "found ['fold', 'seed', 'clip_id', 'scores']" in complaint(path)


def test_a_run_is_described_with_its_metrics_and_whatever_else_is_told():
    one = run(clips=30)
    described = run_metrics(one, ["mAP", "F1"], last_loss=0.5)
    assert described == {
        "fold": "meeting-0",
        "seed": 0,
        "clips": 30,
        "metrics": {name: evaluate(name, one.scores, one.present) for name in ("mAP", "F1")},
        "last_loss": 0.5,
    }


def test_a_run_whose_scores_are_not_numbers_is_refused():
    one = run()
    one.scores[0, 0] = np.nan
    with pytest.raises(BatError, match="1 scores are not finite"):
        run_metrics(one, ["mAP"])
