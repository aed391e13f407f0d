"""Assemble the main table: one row per model and method, one group of columns per metric."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bat.data.selections import AppliedSet
from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell, RunValue
from bat.evaluation.display import markdown_table
from bat.evaluation.expectations import Expectation, check_expectations
from bat.evaluation.runs import read_predictions
from bat.evaluation.statistics import Predictions, Summary, summarise
from bat.paper.claims import read_claims
from bat.paper.gap import gap_table
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
    comparison_set: str | None


def run(job: Job, settings: TableSettings) -> None:
    """Write ``main.csv``, ``main_long.csv``, ``main.md``, ``cells.json`` and ``gap.csv``."""
    rows = _in_order(_rows(job), settings)
    _check_complete(rows, settings)
    long: list[dict[str, Any]] = []
    cells: list[Cell] = []
    for row in track(rows, "bootstrap"):
        record = _record_of(job, row)
        for metric in settings.metrics[row.task]:
            summary = summarise(
                row.runs,
                metric,
                resamples=settings.statistics.bootstrap_resamples,
                confidence=settings.statistics.confidence,
                seed=settings.statistics.seed,
            )
            line = _line(row, metric, summary, record)
            long.append(line)
            cells.append(_cell(row, line, summary))
    table = long_table(long)
    _say(check_expectations(table, settings.models, settings.pretrained))
    for name, text in tables_of(table, settings).items():
        job.output(name).write_text(text, encoding="utf-8")
    job.write_json(CELLS, [cell.model_dump(mode="json") for cell in cells])
    gap = gap_table(read_claims(), cells, settings.published)
    gap.write_csv(job.output("gap.csv"), float_precision=2)


def long_table(lines: list[dict[str, Any]]) -> pl.DataFrame:
    """Make a table of one line per model, method, task and metric."""
    return pl.DataFrame(lines, schema_overrides={"comparison_set": pl.String})


def tables_of(table: pl.DataFrame, settings: TableSettings) -> dict[str, str]:
    """Write the same numbers in three ways; return the texts by the names of their files."""
    columns = [
        (task, metric)
        for task in settings.tasks
        for metric in settings.metrics[task]
        if task in table["task"]
    ]
    expectations = check_expectations(table, settings.models, settings.pretrained)
    confidence = settings.statistics.confidence
    return {
        "main_long.csv": table.write_csv(),
        "main.csv": _wide(table, columns).write_csv(),
        "main.md": markdown_table(table, columns, expectations, confidence),
    }


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
    """Gather the parts of every cell."""
    parts: dict[tuple[str, str, str], list[Path]] = {}
    sets: dict[str, str | None] = {}
    for path in job.paths("metrics"):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        key = (metrics["model"], metrics.get("method", "finetune"), metrics["task"])
        parts.setdefault(key, []).append(path.parent)
        applied = AppliedSet.from_plain(metrics["comparison_set"])
        sets[metrics["task"]] = None if applied is None else str(applied)
    predictions = {path.parent: path for path in job.paths("predictions")}
    return [
        Row(
            model=model,
            method=method,
            task=task,
            folders=folders,
            runs=[one for folder in folders for one in read_predictions(predictions[folder])],
            comparison_set=sets[task],
        )
        for (model, method, task), folders in parts.items()
    ]


def _in_order(rows: list[Row], settings: TableSettings) -> list[Row]:
    """Sort rows as the parameters list models, methods and tasks; baselines come last."""

    def place(names: list[str], name: str) -> int:
        return names.index(name) if name in names else len(names)

    return sorted(
        rows,
        key=lambda row: (
            place(settings.models, row.model),
            place(settings.methods, row.method),
            place(settings.tasks, row.task),
        ),
    )


def _check_complete(rows: list[Row], settings: TableSettings) -> None:
    """Refuse a cell that lacks a fold or a seed, or has one twice."""
    for row in rows:
        found = sorted((run.fold, run.seed) for run in row.runs)
        kind = "finetune" if row.method == "finetune" else "probe"
        seeds = settings.seeds[kind] if row.model in settings.models else [0]
        expected = sorted((fold, seed) for fold in settings.folds[row.task] for seed in seeds)
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
        "comparison_set": row.comparison_set,
        "record": record[:16],
    }


def _cell(row: Row, line: dict[str, Any], summary: Summary) -> Cell:
    runs = [
        RunValue(fold=run.fold, seed=run.seed, value=value)
        for run, value in zip(row.runs, summary.values, strict=True)
    ]
    return Cell(
        **line,
        value=summary.mean,
        runs=runs,
        clip_deviation=summary.clip_deviation,
        folders=[folder.as_posix() for folder in row.folders],
    )


def _wide(long: pl.DataFrame, columns: list[tuple[str, str]]) -> pl.DataFrame:
    """One row per model and method; columns ``task metric``, then its spread, counts and record."""
    keys = ["model", "method"]
    wide = long.select(keys).unique(maintain_order=True)
    for task, metric in columns:
        name = f"{task} {metric}"
        part = long.filter(task=task, metric=metric).drop("task", "metric")
        if not part["comparison_set"].count():  # the whole data set: no column of blanks
            part = part.drop("comparison_set")
        values = part.rename(
            {column: f"{name} {column}" for column in part.columns if column not in (*keys, "mean")}
            | {"mean": name}
        )
        wide = wide.join(values, on=keys, how="left", maintain_order="left")
    return wide
