import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.data.entries import Event
from bat.errors import BatError
from bat.evaluation.metrics import evaluate
from bat.evaluation.runs import read_predictions, run_metrics, write_predictions
from bat.evaluation.statistics import Events, Predictions, Texts


def run(fold="meeting-0", seed=0, clips=5, classes=3, generator=None):
    generator = generator or np.random.default_rng([len(fold), seed])
    return Predictions(
        fold=fold,
        seed=seed,
        clips=[f"{fold}/{index}" for index in range(clips)],
        scores=generator.random((clips, classes)).astype(np.float32).astype(np.float64),
        present=generator.random((clips, classes)) < 0.5,
    )


SECONDS = st.floats(0, 120, allow_nan=False)
EVENTS = st.lists(st.builds(Event, label=st.text(max_size=5), onset_s=SECONDS, offset_s=SECONDS))


@st.composite
def frame_wise(draw, clips=3):
    shape = (clips, draw(st.integers(1, 6)), draw(st.integers(1, 3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    of_clips = st.lists(EVENTS, min_size=clips, max_size=clips)
    return Predictions(
        fold="split-0",
        seed=draw(st.integers(0, 3)),
        clips=[f"clip-{index}" for index in range(clips)],
        scores=generator.random(shape),
        present=generator.random(shape) < 0.5,
        events=Events(reference=draw(of_clips), found=draw(of_clips)),
    )


@st.composite
def transcribed(draw, clips=3):
    texts = st.lists(st.text(max_size=9), min_size=clips, max_size=clips)
    return Predictions(
        fold="test-clean",
        seed=draw(st.integers(0, 3)),
        clips=[f"clip-{index}" for index in range(clips)],
        scores=np.zeros((clips, 0)),
        present=np.zeros((clips, 0), dtype=bool),
        texts=Texts(reference=draw(texts), found=draw(texts)),
    )


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.fold, one.seed, one.clips) == (other.fold, other.seed, other.clips)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.present, other.present)
        assert (one.events, one.texts) == (other.events, other.texts)
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


@given(one=st.one_of(frame_wise(), transcribed()))
def test_frames_events_and_texts_survive_the_way_to_disk(tmp_path_factory, one):
    path = tmp_path_factory.getbasetemp() / "predictions.parquet"
    write_predictions(path, [one])
    assert_same(read_predictions(path), [one])


@given(first=frame_wise(), second=transcribed())
def test_all_kinds_of_task_fit_into_one_table(tmp_path_factory, first, second):
    path = tmp_path_factory.getbasetemp() / "predictions.parquet"
    runs = [first, run(), second]
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
        assert evaluate(metric, again) == evaluate(metric, one)


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
    assert "found ['fold', 'seed', 'clip_id', 'frames', 'scores', 'ref" in complaint(path)


NOT_FIRST = pl.int_range(pl.len()) > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clip_id": pl.when(NOT_FIRST).then("clip_id")}, "expected clip_id of"),
        ({"scores": pl.lit(None, pl.List(pl.Float32))}, "expected scores of every clip"),
        ({"scores": pl.col("scores").list.head(pl.int_range(pl.len()))}, "expected as many scores"),
        ({"present": pl.col("present").list.head(1)}, "do not match"),
        ({"frames": pl.lit(2, pl.Int64)}, "3 scores are not those of 2 frames"),
        ({"frames": pl.lit(0, pl.Int64)}, "3 scores are not those of 0 frames"),
        ({"frames": pl.int_range(pl.len(), dtype=pl.Int64) * 2 + 1}, "are not those of 1 frames"),
        ({"found_text": pl.lit("a")}, "expected reference_text and found_text of every clip"),
    ],
)
def test_a_table_that_contradicts_itself_is_named(tmp_path, change, said):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [run()])
    pl.read_parquet(path).with_columns(**change).write_parquet(path)
    with pytest.raises(BatError, match=said):
        read_predictions(path)


def test_a_run_is_described_with_its_metrics_and_whatever_else_is_told():
    one = run(clips=30)
    described = run_metrics(one, ["mAP", "F1"], last_loss=0.5)
    assert described == {
        "fold": "meeting-0",
        "seed": 0,
        "clips": 30,
        "metrics": {name: evaluate(name, one) for name in ("mAP", "F1")},
        "last_loss": 0.5,
    }


def test_a_run_whose_scores_are_not_numbers_is_refused():
    one = run()
    one.scores[0, 0] = np.nan
    with pytest.raises(BatError, match="1 scores are not finite"):
        run_metrics(one, ["mAP"])
