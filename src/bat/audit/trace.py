"""A number's way back: from a cell of the main table to the source archive."""

import json
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bat.audit.tree import print_tree
from bat.data.comparison import count_reasons
from bat.data.ledger import LEDGER_SCHEMA, counts_by_status
from bat.data.tables import read_table
from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell, read_cells
from bat.provenance.hashing import digest
from bat.provenance.lineage import Verified, read_lineage, verify_records
from bat.provenance.recipe import RUN_LOG, Recipe, read_recipe, verify_file

_LEDGER, _HEARD = "ledger.parquet", "clips.json"
_RECORD_DIGITS = 16


def find_cell(cell: str, tables: Path) -> Cell:
    """Return a cell of the main table.

    Parameters
    ----------
    cell
        ``model,method,task,metric``, with or without ``main.csv#`` before it, or a record's id.
    tables
        Folder of the main table.

    Raises
    ------
    BatError
        If there is no such cell, or ``cells.json`` is not what the table's job wrote.
    """
    cells = todays_cells(tables)
    name = cell.rpartition("#")[2]
    for entry in cells:
        if name == entry.name or name[:_RECORD_DIGITS] == entry.record:
            return entry
    names = [entry.name for entry in cells]
    near = get_close_matches(name, names, n=3, cutoff=0.5) or names[:1]
    raise BatError(f"{name}: no such cell; there are {len(cells)}, e.g. {' or '.join(near)}")


def todays_cells(tables: Path) -> list[Cell]:
    """Return all cells of the main table.

    Raises
    ------
    BatError
        If there is no table, or ``cells.json`` is not what its job wrote.
    """
    path = tables / CELLS
    if not path.is_file():
        raise BatError(f"{path}: not there; build the table first: snakemake --cores 2")
    verify_file(path, read_recipe(tables))
    return read_cells(path)


def trace(entry: Cell, tables: Path, recipes: Mapping[Path, Recipe]) -> dict[str, Any]:
    """Describe the whole way back from a cell, as plain values.

    Parameters
    ----------
    recipes
        The table's, and those of the cell's jobs and of everything behind them, by folder.

    Returns
    -------
    dict
        ``cell``: the number, its statistics and the value of every run. ``jobs``: where it was
        printed, and then every job behind it by folder, each after those that read its outputs.
    """
    cell = {"name": entry.name} | entry.model_dump(mode="json")
    return {
        "cell": cell,
        "jobs": {folder.as_posix(): _step(folder, recipe) for folder, recipe in recipes.items()},
        "printed_by": tables.as_posix(),
    }


def _step(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Describe one job: its record, its files, what it read, and when and where it ran."""
    step: dict[str, Any] = {
        "stage": recipe.stage,
        "selection": recipe.selection,
        "record": recipe.id,
        "determinism": recipe.determinism,
        "settings": recipe.settings,
        "code": digest(recipe.code),
        "environment_lock": recipe.environment_lock,
        "outputs": [
            {"path": (folder / output.name).as_posix(), "sha256": output.sha256}
            | {"bytes": output.bytes}
            for output in recipe.outputs
        ],
        "inputs": [known.model_dump(mode="json") for known in recipe.inputs],
        "run": _run_log(folder / RUN_LOG),
    }
    if recipe.output(_LEDGER) is not None:
        step["ledger"] = _ledger(folder / _LEDGER)
    if recipe.stage == "pretrain" and recipe.output(_HEARD) is not None:
        step["heard"] = _heard(folder / _HEARD)
    return step


def _run_log(path: Path) -> dict[str, Any] | None:
    """Read when and where a job ran; None where nothing says it."""
    try:
        log: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return log


def _ledger(path: Path) -> dict[str, Any] | None:
    """Count the entries of a ledger by status, and why some are not used; None if unreadable."""
    try:
        ledger = read_table(path, LEDGER_SCHEMA)
    except BatError:
        return None
    return {
        "rows": ledger.height,
        "statuses": counts_by_status(ledger),
        "not_used": count_reasons(ledger).select("status", "reason", "rows").to_dicts(),
    }


def _heard(path: Path) -> dict[str, int] | None:
    """Count the clips and the recordings that an encoder heard; None if nothing says it."""
    try:
        heard = json.loads(path.read_text(encoding="utf-8"))
        return {name: len(heard[name]) for name in ("clips", "recordings")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def print_trace(cell: str, tables: Path, *, verify: bool, as_json: bool = False) -> None:
    """Print the chain of records behind a cell, from the number to the source archive.

    Raises
    ------
    BatError
        If there is no such cell, a record is missing, or (with ``verify``) a hash differs.
    """
    entry = find_cell(cell, tables)
    # The table itself depends on every cell: its own files count, and not all that it read.
    folders, alone = [tables, *map(Path, entry.folders)], {tables}
    verified = verify_records(folders, gatherers=alone) if verify else None
    told = trace(entry, tables, verified.recipes if verified else _readable(folders, alone))
    if as_json:
        told |= {"verified": _outcome(verified)} if verified else {}
        print(json.dumps(told, indent=1, ensure_ascii=False))  # noqa: T201
    else:
        print_tree(entry, told["jobs"], tables.as_posix())
        for problem in verified.problems if verified else ():
            print(problem.message)  # noqa: T201
    if verified and verified.problems:
        first = verified.problems[0].message
        raise BatError(f"{len(verified.problems)} problems, the first: {first}")
    if verified and not as_json:
        print(f"verified: {verified.files} files rehashed, all match")  # noqa: T201


def _readable(folders: Iterable[Path], alone: Collection[Path]) -> Mapping[Path, Recipe]:
    """Read records; all must be readable."""
    recipes, problems = read_lineage(folders, alone)
    if problems:
        raise BatError(problems[0].message)
    return recipes


def _outcome(verified: Verified) -> dict[str, Any]:
    problems = [
        {"kind": one.kind, "path": one.path.as_posix(), "message": one.message}
        for one in verified.problems
    ]
    return {"files": verified.files, "bytes": verified.bytes, "problems": problems}
