"""What does not fit: found in the records here, or by verifications before."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bat.audit.experiment import AUDIT
from bat.audit.page.data import Index, Problem, Verification
from bat.audit.page.records import Records
from bat.audit.verification import Kept
from bat.evaluation.cells import Cell
from bat.provenance.hashing import digest


def of_records(records: Records) -> list[Problem]:
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


def of_cells(cells: Sequence[Cell], records: Records) -> list[Problem]:
    """Find cells whose record is not that of the runs that lie here now."""
    found = []
    for place, cell in enumerate(cells):
        ids = [records.ids.get(folder, "") for folder in cell.folders]
        now = ids[0] if len(ids) == 1 else digest(ids)
        if now[: len(cell.record)] != cell.record:
            text = (
                f"{cell.name}: the table was made from another version of its runs: "
                f"record {cell.record} then, {now[:16] or 'none'} now"
            )
            behind = [index for index in map(records.known, cell.folders) if index is not None]
            found.append(Problem(text=text, records=behind, cells=[place]))
    return found


def of_complaint(text: str, records: Records) -> Problem:
    """Find the record that a complaint is about: it begins with a path."""
    return Problem(text=text, records=_around(text.partition(": ")[0], records))


def of_verification(
    kept: Kept, table: Index, cells: Sequence[Cell], records: Records
) -> tuple[Verification, list[Problem]]:
    """Bring the last verification into the form of the page.

    What it found of another table than the one here is no longer said of this one.
    """
    record = records.records[table]
    of_this_table = record.id is not None and records.hashes.values[record.id] == kept.table
    outcome = Verification(
        what="by bat audit verify",
        finished=kept.finished,
        files=kept.report.files,
        bytes=kept.report.bytes,
        problems=len(kept.report.problems),
        of_this_table=of_this_table,
        record=table,
    )
    if not of_this_table:
        return outcome, []
    places = {cell.name: place for place, cell in enumerate(cells)}
    problems = [
        Problem(
            text=finding.message,
            records=_around(finding.path, records),
            cells=[places[name] for name in finding.cells if name in places],
        )
        for finding in kept.report.problems
    ]
    return outcome, problems


def before_the_table(records: Records) -> Verification | None:
    """Return what the workflow itself rehashed before it made the table."""
    content = _plain(AUDIT / "verified.json")
    if content is None:
        return None
    record = records.add(AUDIT.as_posix())
    run = records.records[record].run
    return Verification(
        what="before the table was made",
        finished=None if run is None else run.finished,
        files=content["files"],
        bytes=content["bytes"],
        problems=0,
        of_this_table=True,
        record=record,
    )


def _around(path: str, records: Records) -> list[Index]:
    """Return the record of the folder that a path is, or lies in."""
    for folder in (Path(path), *Path(path).parents):
        index = records.known(folder.as_posix())
        if index is not None:
            return [index]
    return []


def _plain(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
