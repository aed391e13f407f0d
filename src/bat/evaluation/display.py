"""Tables for people: Markdown and the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from bat.errors import BatError
from bat.evaluation.expectations import Expectation


def markdown_table(
    long: pl.DataFrame,
    columns: list[tuple[str, str]],
    expectations: list[Expectation],
    confidence: float,
) -> str:
    """Write the main table and what was expected of it as Markdown.

    Parameters
    ----------
    long
        One line per model, method, task and metric.
    columns
        Tasks and metrics, in order.
    expectations
        Inequalities, with whether they hold.
    confidence
        Of the interval, for the caption.
    """
    cells = {
        (row["model"], row["method"], row["task"], row["metric"]): row
        for row in long.iter_rows(named=True)
    }
    lines = [
        "# Main table",
        "",
        f"Mean over folds and seeds in %, ± standard deviation over both, [{confidence:.0%} "
        "bootstrap interval over clips].",
        "",
        _line(["model", "method", *(f"{task} {metric}" for task, metric in columns)]),
        _line(["---", "---", *("---:" for _ in columns)]),
    ]
    for model, method in long.select("model", "method").unique(maintain_order=True).iter_rows():
        found = [cells.get((model, method, *column)) for column in columns]
        lines.append(_line([model, method, *(_cell(cell) for cell in found)]))
    lines += ["", *_counts(long), "", *_expected(expectations)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(row: dict[str, float] | None) -> str:
    if row is None:
        return ""
    return f"{row['mean']:.2f} ± {row['std']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _counts(long: pl.DataFrame) -> list[str]:
    counts = long.group_by("task", maintain_order=True).agg(
        pl.col("n_clips", "n_folds", "comparison_set").first()
    )
    return [
        f"- {task}: {clips} test clips in {folds} folds"
        + (f", of the comparison set {of_set}" if of_set else "")
        for task, clips, folds, of_set in counts.iter_rows()
    ]


def _expected(expectations: list[Expectation]) -> list[str]:
    if not expectations:
        return []
    held = sum(expectation.holds for expectation in expectations)
    lines = [
        "## Does it show what the paper leads one to expect?",
        "",
        f"{held} of {len(expectations)} inequalities hold in the mean over folds and seeds.",
        "",
        _line(["task", "metric", "expected", "found", "holds"]),
        _line(["---"] * 5),
    ]
    for one in expectations:
        expected = f"{one.larger} > {one.smaller}"
        found = f"{one.larger_mean:.2f} vs {one.smaller_mean:.2f}"
        lines.append(_line([one.task, one.metric, expected, found, "yes" if one.holds else "NO"]))
    return lines


def print_table(path: Path, *, signs: Mapping[str, str] | None = None, legend: str = "") -> None:
    """Print a main table on the terminal.

    Parameters
    ----------
    signs
        What to put behind a cell, by its name.
    legend
        What the signs mean.

    Raises
    ------
    BatError
        If the table was not built yet, or the file is something else.
    """
    if not path.is_file():
        raise BatError(f"{path}: not there; build it: snakemake --cores 2 {path}")
    try:
        wide = pl.read_csv(path)
    except pl.exceptions.PolarsError as error:
        raise BatError(f"{path}: not a main table: {str(error).splitlines()[0]}") from error
    if wide.columns[:2] != ["model", "method"]:
        raise BatError(f"{path}: not a main table: its first columns are not model and method")
    names = [c.removesuffix(" std") for c in wide.columns if c.endswith(" std")]
    table = Table("model", "method", title="mean ± standard deviation in %")
    for name in names:
        table.add_column(name, justify="right")
    for row in wide.iter_rows(named=True):
        cells = [_shown(row, name, signs or {}) for name in names]
        table.add_row(row["model"], row["method"], *cells)
    table.caption = legend
    Console().print(table)


def _shown(row: dict[str, Any], name: str, signs: Mapping[str, str]) -> str:
    if row[name] is None:
        return ""
    cell = ",".join([row["model"], row["method"], *name.split(" ")])
    return f"{row[name]:.1f} ± {row[name + ' std']:.1f}{signs.get(cell, '')}"


def wide_console() -> Console:
    """Return a console for tables of many columns: where no terminal limits it, it is wide."""
    console = Console()
    return console if console.is_terminal else Console(width=200)
