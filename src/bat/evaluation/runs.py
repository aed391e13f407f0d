"""What the runs of a job leave behind: metrics for people, predictions for statistics."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bat.data.entries import Event
from bat.errors import BatError
from bat.evaluation.metrics import evaluate
from bat.evaluation.predictions import Events, Predictions, Texts

_EVENTS = pl.List(pl.Struct({"label": pl.String, "onset_s": pl.Float64, "offset_s": pl.Float64}))
# One schema for all kinds of task; what a task does not have is null.
_SCHEMA: Any = {
    "fold": pl.String,
    "seed": pl.Int64,
    "clip_id": pl.String,
    "frames": pl.Int64,  # null: scores of whole clips
    "scores": pl.List(pl.Float32),  # frame by frame
    "present": pl.List(pl.Boolean),
    "reference_events": _EVENTS,
    "found_events": _EVENTS,
    "reference_text": pl.String,
    "found_text": pl.String,
}


def write_predictions(path: Path, runs: list[Predictions]) -> None:
    """Write the predictions of some runs as one Parquet table, a row per clip and run.

    Parameters
    ----------
    runs
        Each with another fold or seed.
    """
    pl.concat([_table(run) for run in runs]).write_parquet(path, compression="zstd")


def _table(run: Predictions) -> pl.DataFrame:
    clips, absent = len(run.clips), [None] * len(run.clips)
    events, texts = run.events, run.texts
    return pl.DataFrame(
        {
            "fold": [run.fold] * clips,
            "seed": [run.seed] * clips,
            "clip_id": run.clips,
            "frames": [run.scores.shape[1]] * clips if run.scores.ndim == 3 else absent,
            "scores": _lists(run.scores.astype(np.float32)),
            "present": _lists(run.present),
            "reference_events": _records(events.reference) if events else absent,
            "found_events": _records(events.found) if events else absent,
            "reference_text": texts.reference if texts else absent,
            "found_text": texts.found if texts else absent,
        },
        schema=_SCHEMA,
    )


def _lists(rows: np.ndarray[Any, Any]) -> pl.Series:
    flat = pl.Series(values=rows.reshape(len(rows), -1))
    return flat.arr.to_list()


def _records(events: list[list[Event]]) -> list[list[dict[str, Any]]]:
    return [[asdict(event) for event in of_clip] for of_clip in events]


def read_predictions(path: Path) -> list[Predictions]:
    """Read what :func:`write_predictions` wrote.

    Raises
    ------
    BatError
        If the file is damaged or something else.
    """
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BatError(f"{path}: not a table: {str(error).splitlines()[0]}") from error
    if dict(table.schema) != _SCHEMA:
        raise BatError(f"{path}: expected columns {list(_SCHEMA)}, found {table.columns}")
    for column in ("fold", "seed", "clip_id", "scores", "present"):
        if table[column].null_count():
            raise BatError(f"{path}: expected {column} of every clip, found none for some")
    runs = table.partition_by("fold", "seed", maintain_order=True)
    return [_run(run, f"{path}: fold {run['fold'][0]}, seed {run['seed'][0]}") for run in runs]


def _run(table: pl.DataFrame, origin: str) -> Predictions:
    events = texts = None
    if _given(table, origin, "reference_events", "found_events"):
        events = Events(
            reference=_events(table["reference_events"]), found=_events(table["found_events"])
        )
    if _given(table, origin, "reference_text", "found_text"):
        texts = Texts(
            reference=table["reference_text"].to_list(), found=table["found_text"].to_list()
        )
    return Predictions(
        fold=table["fold"][0],
        seed=table["seed"][0],
        clips=table["clip_id"].to_list(),
        scores=_rows(table, "scores", origin).astype(np.float64),
        present=_rows(table, "present", origin),
        events=events,
        texts=texts,
    )


def _given(table: pl.DataFrame, origin: str, *columns: str) -> bool:
    """Whether a run has these columns, which belong together."""
    nulls = {table[column].null_count() for column in columns}
    if nulls not in ({0}, {len(table)}):
        raise BatError(f"{origin}: expected {' and '.join(columns)} of every clip or of none")
    return nulls == {0}


def _rows(table: pl.DataFrame, column: str, origin: str) -> np.ndarray[Any, Any]:
    """Values of a column of lists: [N, C], or [N, T, C] where the table counts frames."""
    lengths = table[column].list.len().unique().to_list()
    if len(lengths) > 1:
        raise BatError(f"{origin}: expected as many {column} for every clip, found {lengths}")
    values = table[column].list.to_array(lengths[0]).to_numpy()
    shape: tuple[int, ...] = (len(table), lengths[0])
    if _given(table, origin, "frames"):
        frames = table["frames"][0]
        if table["frames"].n_unique() > 1 or frames < 1 or lengths[0] % frames:
            raise BatError(f"{origin}: {lengths[0]} {column} are not those of {frames} frames")
        shape = (len(table), frames, lengths[0] // frames)
    return values.reshape(shape)


def _events(column: pl.Series) -> list[list[Event]]:
    return [[Event(**event) for event in of_clip] for of_clip in column.to_list()]


def run_metrics(run: Predictions, metrics: Sequence[str], **details: Any) -> dict[str, Any]:
    """Describe one run: its metrics, the size of its test set, and whatever else is told."""
    return {
        "fold": run.fold,
        "seed": run.seed,
        "clips": len(run.clips),
        "metrics": {name: evaluate(name, run) for name in metrics},
        **details,
    }
