"""Gather what the page shows from the records on disk."""

import json
from pathlib import Path
from typing import Any

from bat.audit.page.data import (
    Cell,
    FoldValues,
    Index,
    PageData,
    Problem,
    Verification,
)
from bat.audit.page.judgement import Judgement, Mark
from bat.audit.page.records import Records
from bat.audit.page.tables import figures, ledgers, manifests
from bat.errors import BatError
from bat.evaluation import cells as table_cells
from bat.evaluation.cells import CELLS, read_cells
from bat.progress import track
from bat.provenance.hashing import digest

TABLES, FIGURES, AUDIT = Path("results/tables"), Path("results/figures"), Path("results/audit")


def gather(
    *,
    params: str | None = None,
    judgement: Judgement | None = None,
) -> PageData:
    """Read the table, everything behind it, and what is said of it.

    Nothing is verified here but the links between records: files are not rehashed, and what is
    wrong is shown, not refused.

    Parameters
    ----------
    params
        Parameter file to name in commands, where it is not the default one.
    judgement
        Verdicts, marks and the last verification.

    Raises
    ------
    BatError
        Where there is no table, or it is no table.
    """
    path = TABLES / CELLS
    if not path.is_file():
        raise BatError(f"{path}: not there; build the table first: snakemake --cores 2")
    said = judgement or Judgement()
    numbers, records = read_cells(path), Records()
    table, problems = records.add(TABLES.as_posix()), list[Problem]()
    claims_of: dict[Index, list[Index]] = {}
    for number, claim in enumerate(said.claims):
        if claim.cell is not None:
            claims_of.setdefault(claim.cell, []).append(number)
    cells = [
        _cell(cell, records, claims_of.get(place, []), said.marks.get(cell.name, Mark()), problems)
        for place, cell in enumerate(track(numbers, "gathering"))
    ]
    drawn = figures(records, records.add(FIGURES.as_posix())) if FIGURES.is_dir() else []
    verifications = [said.verification, _before_the_table(records)]
    known = [outcome for outcome in verifications if outcome is not None]
    problems += _of_records(records)
    problems += [_said(text, records) for text in said.complaints]
    problems += [_said(text, records) for outcome in known for text in outcome.problems]
    return PageData(
        params=params,
        table=table,
        confidence=_confidence(records),
        cells=cells,
        claims=list(said.claims),
        statements=list(said.statements),
        problems=problems,
        verifications=known,
        ledgers=ledgers(records),
        manifests=manifests(records),
        figures=drawn,
        records=records.records,
        settings=records.settings.values,
        environments=records.environments.values,
        codes=records.codes,
        modules=records.modules.values,
        hashes=records.hashes.values,
    )


def _cell(
    cell: table_cells.Cell,
    records: Records,
    claims: list[Index],
    mark: Mark,
    problems: list[Problem],
) -> Cell:
    behind = [records.add(folder) for folder in cell.folders]
    ids = [records.ids.get(folder, "") for folder in cell.folders]
    now = ids[0] if len(ids) == 1 else digest(ids)
    if now[: len(cell.record)] != cell.record:
        problems.append(
            Problem(
                text=f"{cell.name}: the table was made from another version of its runs: "
                f"record {cell.record} then, {now[:16] or 'none'} now",
                records=behind,
            )
        )
    folds: dict[str, FoldValues] = {}
    for run in cell.runs:
        of_fold = folds.setdefault(run.fold, FoldValues(fold=run.fold, seeds=[], values=[]))
        of_fold.seeds.append(run.seed)
        of_fold.values.append(round(100 * run.value, 2))
    shown = cell.model_dump(include=set(Cell.model_fields) - {"record"})
    return Cell(
        **shown,
        record=cell.record,
        folds=list(folds.values()),
        records=behind,
        claims=claims,
        mark=mark.text,
        independent=mark.independent,
    )


def _of_records(records: Records) -> list[Problem]:
    """Find records that cannot be read, and links that no longer fit."""
    found = []
    for index, record in enumerate(records.records):
        if record.problem is not None:
            found.append(Problem(text=record.problem, records=[index]))
        for known in record.inputs:
            maker = None if known.record is None else records.records[known.record]
            if maker is None or maker.id is None:
                continue
            made = {output.name: output.sha256 for output in maker.outputs}
            if maker.id != known.recipe or made.get(Path(known.path).name) != known.sha256:
                text = f"{record.folder}: was made from another version of {known.path}"
                found.append(Problem(text=text, records=[index]))
    return found


def _said(text: str, records: Records) -> Problem:
    """Find the record that a line of a verification is about: it begins with a path."""
    path = Path(text.partition(": ")[0])
    for folder in (path, *path.parents):
        index = records.known(folder.as_posix())
        if index is not None:
            return Problem(text=text, records=[index])
    return Problem(text=text, records=[])


def _before_the_table(records: Records) -> Verification | None:
    """Return what the workflow itself rehashed before it made the table."""
    path = AUDIT / "verified.json"
    content = _plain(path)
    if content is None:
        return None
    record = records.add(AUDIT.as_posix())
    run = records.records[record].run
    return Verification(
        what="before the table was made",
        finished=None if run is None else run.finished,
        files=content["files"],
        bytes=content["bytes"],
        problems=[],
        record=record,
    )


def _plain(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _confidence(records: Records) -> float:
    """Return the confidence of the table's intervals, from the settings of its record."""
    recipe = records.recipes.get(TABLES.as_posix())
    settings = {} if recipe is None else recipe.settings
    return float(settings.get("statistics", {}).get("confidence", 0.95))
