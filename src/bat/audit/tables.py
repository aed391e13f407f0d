"""Checks that there are the cells that there should be, and that all tables say the same."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bat.audit.experiment import TABLES, Experiment
from bat.evaluation.cells import CELLS, Cell
from bat.paper.claims import read_claims
from bat.paper.gap import gap_table
from bat.provenance.graph import Problem
from bat.provenance.hashing import digest
from bat.stages.table import long_table, tables_of

# What a table says of each cell, by the cell's name.
Told = dict[str, tuple[str, ...]]
_KEYS = ("model", "method", "task", "metric")
_NOT_PRINTED = {"value", "runs", "clip_deviation", "folders"}


def check_tables(experiment: Experiment, cells: list[Cell]) -> Iterator[Problem]:
    """Compare the cells with what there should be, and the three tables with the cells."""
    yield from _check_cells(experiment, cells)
    if not cells:
        return
    settings = experiment.plan.settings("table", {})
    lines = [cell.model_dump(mode="json", exclude=_NOT_PRINTED) for cell in cells]
    gap = gap_table(read_claims(), cells, settings.published).write_csv(float_precision=2)
    for name, text in (tables_of(long_table(lines), settings) | {"gap.csv": gap}).items():
        path = TABLES / name
        if experiment.intact(path):
            found = path.read_text(encoding="utf-8", errors="replace")
            if found != text:
                yield _difference(path, _told[name](found), _told[name](text))


def _check_cells(experiment: Experiment, cells: list[Cell]) -> Iterator[Problem]:
    path = TABLES / CELLS
    times = Counter(cell.name for cell in cells)
    for name in experiment.cells:
        if times[name] != 1:
            message = f"{path}: {name}: stands there {times[name]} times"
            yield Problem(kind="cell", path=path, message=message, results=(name,))
    for cell in cells:
        wrong = _wrong_origin(cell, experiment)
        if wrong is not None:
            message = f"{path}: {cell.name}: {wrong}"
            yield Problem(kind="cell", path=path, message=message, results=(cell.name,))


def _wrong_origin(cell: Cell, experiment: Experiment) -> str | None:
    """Say what is wrong with where a cell says that it came from."""
    folders = experiment.cells.get(cell.name)
    if folders is None:
        return "the parameters do not ask for it"
    if cell.folders != [folder.as_posix() for folder in folders]:
        return f"names other folders than {', '.join(map(str, folders))}"
    ids = [recipe.id for recipe in map(experiment.recipes.get, folders) if recipe is not None]
    record = ids[0] if len(ids) == 1 else digest(ids)
    if len(ids) == len(folders) and cell.record != record[:16]:
        return f"names the record {cell.record}, but it is {record[:16]}"
    return None


def _difference(path: Path, found: Told, expected: Told) -> Problem:
    names = [name for name in expected if found.get(name) != expected[name]]
    names += [name for name in found if name not in expected]
    message = f"{path}: does not say what {CELLS} says" + (f": {', '.join(names)}" if names else "")
    return Problem(kind="table", path=path, message=message, results=tuple(names))


def _told_long(text: str) -> Told:
    return {
        ",".join(row[key] or "" for key in _KEYS): tuple(map(str, row.values()))
        for row in csv.DictReader(io.StringIO(text))
        if row.keys() >= set(_KEYS)
    }


def _told_wide(text: str) -> Told:
    return _by_cell(list(csv.reader(io.StringIO(text))))


def _told_markdown(text: str) -> Told:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines]
    starts = [place for place, row in enumerate(rows) if row[0] in ("model", "task")]
    return _by_cell(rows[: starts[1] if len(starts) > 1 else None])


def _by_cell(rows: list[list[str]]) -> Told:
    """Gather the values of each cell from rows by model and method, columns by task and metric."""
    told: Told = {}
    header, *rest = rows or [[]]
    for model, method, *values in (row for row in rest if len(row) > 1):
        for column, value in zip(header[2:], values, strict=False):
            name = ",".join([model, method, *column.split(" ")[:2]])
            told[name] = (*told.get(name, ()), value)
    return {name: values for name, values in told.items() if any(values)}


def _told_of_gaps(_: str) -> Told:
    """Nothing of the cells: a wrong difference to a claim does not make our number wrong."""
    return {}


_told: dict[str, Callable[[str], Told]] = {
    "gap.csv": _told_of_gaps,
    "main_long.csv": _told_long,
    "main.csv": _told_wide,
    "main.md": _told_markdown,
}
