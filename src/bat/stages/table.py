"""Assemble the main table: one row per model and method, one group of columns per metric."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bat.errors import BatError
from bat.evaluation.display import markdown_table
from bat.evaluation.expectations import Expectation, check_expectations
from bat.evaluation.runs import read_predictions
from bat.evaluation.statistics import Predictions, Summary, summarise
from bat.progress import track
from bat.provenance.hashing import digest
from bat.provenance.job import Job
from bat.settings import TableSettings

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Row:
    """All runs of one model, method and task."""

    model: str
    method: str
    task: str
    folders: list[Path]
    runs: list[Predictions]


def run(job: Job, settings: TableSettings) -> None:
    """Write ``main.csv``, ``main_long.csv``, ``main.md`` and ``cells.json``."""
    rows = _rows(job)
    _check_complete(rows, settings)
    long, cells = [], []
    for row in track(rows, "bootstrap"):
        record = _record_of(job, row)
        for metric in settings.tasks[row.task].metrics:
            summary = summarise(
                row.runs,
                metric,
                resamples=settings.statistics.bootstrap_resamples,
                confidence=settings.statistics.confidence,
                seed=settings.statistics.seed,
            )
            line = _line(row, metric, summary, record)
            long.append(line)
            cells.append(_cell(row, line))
    table = pl.DataFrame(long)
    expectations = check_expectations(table, settings.models, settings.methods)
    _say(expectations)
    table.write_csv(job.output("main_long.csv"))
    _wide(table).write_csv(job.output("main.csv"))
    job.output("main.md").write_text(
        markdown_table(table, expectations, settings.statistics.confidence), encoding="utf-8"
    )
    job.write_json("cells.json", cells)


def _say(expectations: list[Expectation]) -> None:
    held = sum(expectation.holds for expectation in expectations)
    _LOG.info("%d of %d expected inequalities hold", held, len(expectations))
    for one in expectations:
        if not one.holds:
            _LOG.info(
                "not found on %s %s: %s > %s (%.2f, %.2f)",
                one.task, one.metric, one.larger, one.smaller, one.larger_mean, one.smaller_mean,
            )  # fmt: skip


def _rows(job: Job) -> list[Row]:
    """Gather the parts of every cell, in the order in which the workflow names them."""
    parts: dict[tuple[str, str, str], list[Path]] = {}
    for path in job.paths("metrics"):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        key = (metrics["model"], metrics.get("method", "finetune"), metrics["task"])
        parts.setdefault(key, []).append(path.parent)
    predictions = {path.parent: path for path in job.paths("predictions")}
    return [
        Row(
            model=model,
            method=method,
            task=task,
            folders=folders,
            runs=[one for folder in folders for one in read_predictions(predictions[folder])],
        )
        for (model, method, task), folders in parts.items()
    ]


def _check_complete(rows: list[Row], settings: TableSettings) -> None:
    """Refuse a cell that lacks a fold or a seed, or has one twice."""
    for row in rows:
        found = sorted((run.fold, run.seed) for run in row.runs)
        kind = "finetune" if row.method == "finetune" else "probe"
        seeds = settings.seeds[kind] if row.model in settings.models else [0]
        expected = sorted((fold, seed) for fold in settings.folds for seed in seeds)
        if found != expected:
            raise BatError(
                f"{row.model},{row.method},{row.task}: expected {len(expected)} runs "
                f"(folds x seeds), found {len(found)}"
            )


def _record_of(job: Job, row: Row) -> str:
    """Id of a cell's record: its recipe's, or a hash of those of its parts."""
    ids = [job.maker(folder / "metrics.json").id for folder in row.folders]
    return ids[0] if len(ids) == 1 else digest(ids)


def _line(row: Row, metric: str, summary: Summary, record: str) -> dict[str, Any]:
    def percent(share: float) -> float:
        return round(100 * share, 2)

    return {
        "model": row.model,
        "method": row.method,
        "task": row.task,
        "metric": metric,
        "mean": percent(summary.mean),
        "std": percent(summary.std),
        "low": percent(summary.low),
        "high": percent(summary.high),
        "n_clips": summary.clips,
        "n_folds": summary.folds,
        "n_seeds": summary.seeds,
        "record": record[:16],
    }


def _cell(row: Row, line: dict[str, Any]) -> dict[str, Any]:
    return {
        "cell": ",".join([row.model, row.method, row.task, line["metric"]]),
        "record": line["record"],
        "folders": [folder.as_posix() for folder in row.folders],
        "text": "{mean} % (std {std}, interval {low} to {high}, {n_clips} clips, {n_folds} folds, "
        "{n_seeds} seeds)".format(**line),
    }


def _wide(long: pl.DataFrame) -> pl.DataFrame:
    """One row per model and method; columns ``task metric``, then its spread, counts and record."""
    keys = ["model", "method"]
    wide = long.select(keys).unique(maintain_order=True)
    for (task, metric), part in _by_column(long):
        name = f"{task} {metric}"
        values = part.drop("task", "metric").rename(
            {
                column: f"{name} {column}"
                for column in part.columns
                if column not in (*keys, "task", "metric", "mean")
            }
            | {"mean": name}
        )
        wide = wide.join(values, on=keys, how="left", maintain_order="left")
    return wide


def _by_column(long: pl.DataFrame) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    groups = long.partition_by("task", "metric", maintain_order=True, as_dict=True)
    for key, part in groups.items():
        yield (str(key[0]), str(key[1])), part
