"""What the runs of a job leave behind: metrics for people, predictions for statistics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bat.errors import BatError
from bat.evaluation.metrics import evaluate
from bat.evaluation.statistics import Predictions

_SCHEMA: Any = {
    "fold": pl.String,
    "seed": pl.Int64,
    "clip_id": pl.String,
    "scores": pl.List(pl.Float32),
    "present": pl.List(pl.Boolean),
}


def write_predictions(path: Path, runs: list[Predictions]) -> None:
    """Write the predictions of some runs as one Parquet table, a row per clip and run."""
    tables = [
        pl.DataFrame(
            {
                "fold": [run.fold] * len(run.clips),
                "seed": [run.seed] * len(run.clips),
                "clip_id": run.clips,
                "scores": run.scores.astype(np.float32).tolist(),
                "present": run.present.tolist(),
            },
            schema=_SCHEMA,
        )
        for run in runs
    ]
    pl.concat(tables).write_parquet(path, compression="zstd")


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
    return [
        Predictions(
            fold=run["fold"][0],
            seed=run["seed"][0],
            clips=run["clip_id"].to_list(),
            scores=np.array(run["scores"].to_list(), dtype=np.float64),
            present=np.array(run["present"].to_list(), dtype=bool),
        )
        for run in table.partition_by("fold", "seed", maintain_order=True)
    ]


def run_metrics(run: Predictions, metrics: Sequence[str], **details: Any) -> dict[str, Any]:
    """Describe one run: its metrics, the size of its test set, and whatever else is told."""
    return {
        "fold": run.fold,
        "seed": run.seed,
        "clips": len(run.clips),
        "metrics": {name: evaluate(name, run.scores, run.present) for name in metrics},
        **details,
    }
