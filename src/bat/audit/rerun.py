"""Recorded jobs done again, from verified inputs, and compared with what is on record.

The originals are read and never written to. How a rebuild must repeat its record is what the stage
declares; whatever differs beyond that is a failure, also between two rebuilds on one machine.
"""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bat.audit.outcome import FileOutcome, Outcome, RecordOutcome, now
from bat.audit.rebuild import Inputs, Record, chain_of, read_record, rebuild
from bat.audit.repetition import compare
from bat.audit.trace import find_cell
from bat.errors import BatError
from bat.progress import track
from bat.provenance.environment import git_state
from bat.provenance.lineage import recorded_folders
from bat.provenance.recipe import RECIPE, read_recipe
from bat.settings import STAGES


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be rerun, and how.

    Attributes
    ----------
    times
        Rebuilds of each record, which must repeat one another too.
    chain
        Whether to rerun everything behind the records.
    with_this_code
        Whether to go on where code or environment are not those on record.
    fetch
        Whether to rerun what read from outside: the net, or files of the user.
    scratch
        Where to rebuild; None is a temporary folder in the working folder.
    keep
        Whether to leave what was rebuilt there.
    base
        The working folder.
    """

    times: int = 1
    chain: bool = False
    with_this_code: bool = False
    fetch: bool = False
    scratch: Path | None = None
    keep: bool = False
    base: Path = Path()


def folders_of(asked: str, tables: Path) -> list[Path]:
    """Return the folders of the records that a user means.

    Parameters
    ----------
    asked
        A record's folder, the name of a stage, or a cell of the main table.

    Raises
    ------
    BatError
        If it is none of these, or the stage has no records here.
    """
    if (Path(asked) / RECIPE).is_file():
        return [Path(os.path.relpath(asked))]
    if asked in STAGES:
        roots = [root for root in (Path("data"), Path("results")) if root.is_dir()]
        folders = [f for f in recorded_folders(roots) if read_recipe(f).stage == asked]
        if not folders:
            raise BatError(f"{asked}: no record of this stage; build it first: snakemake --cores 2")
        return folders
    if "," not in asked and not Path(asked).suffix and Path(asked).is_dir():
        raise BatError(f"{asked}: has no {RECIPE}; name a record's folder, a stage or a cell")
    return [Path(folder) for folder in find_cell(asked, tables).folders]


def rerun(asked: str, folders: list[Path], request: Request) -> Outcome:
    """Do recorded jobs again and compare.

    Raises
    ------
    BatError
        If an input does not match its record; if code or environment are others than on record and
        that was not allowed for; or if a job fails.
    """
    started = now()
    chosen = chain_of(folders, request.base) if request.chain else dict.fromkeys(folders)
    records = [read_record(folder, request.base) for folder in chosen]
    _check_code(records, request)
    inputs = Inputs(request.base)
    with _scratch(request) as scratch:
        outcomes = [
            _rerun_one(record, inputs, request, scratch / f"{number:04d}-{record.recipe.stage}")
            for number, record in enumerate(track(records, "rerunning"), start=1)
        ]
    return Outcome(
        asked=asked,
        chain=request.chain,
        times=request.times,
        started=started,
        finished=now(),
        code=git_state(),
        records=outcomes,
    )


def _check_code(records: list[Record], request: Request) -> None:
    """Say what is not as on record before anything runs."""
    lines = []
    for record in records:
        if record.begins_outside and not request.fetch:
            continue
        if modules := record.other_code():
            lines.append(f"{record.folder}: made by other code: {_first_of(modules)}")
        if record.other_environment:
            lines.append(f"{record.folder}: made with other versions of the packages")
    for line in lines:
        print(line)  # noqa: T201
    if lines and not request.with_this_code:
        where = next(r.where_code_is for r in records if str(r.folder) == lines[0].split(": ")[0])
        raise BatError(
            f"{len(lines)} differences of code or packages, the first: {lines[0]}; {where}, "
            "or rerun with what is here: --with-this-code"
        )


def _first_of(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def _scratch(request: Request) -> Iterator[Path]:
    """Give a folder for rebuilds, on the disk of the originals unless said otherwise."""
    if request.scratch is not None:
        request.scratch.mkdir(parents=True, exist_ok=True)
    parent = request.base if request.scratch is None else request.scratch
    folder = Path(tempfile.mkdtemp(prefix=".rerun-", dir=parent.resolve()))
    try:
        yield folder
    finally:
        if not request.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _rerun_one(record: Record, inputs: Inputs, request: Request, place: Path) -> RecordOutcome:
    if record.begins_outside and not request.fetch:
        outcome = _not_rerun(record)
    else:
        inputs.verify(record)
        started = time.monotonic()
        rebuilt = []
        for number in range(1, request.times + 1):
            (place / str(number)).mkdir(parents=True)
            rebuilt.append(rebuild(record, inputs, place / str(number)))
        inputs.rebuilt[record.folder] = rebuilt[0]
        outcome = compare(record, rebuilt, round(time.monotonic() - started, 3))
    _say(outcome)
    return outcome


def _say(outcome: RecordOutcome) -> None:
    because = f" ({outcome.because})" if outcome.because else ""
    print(f"{outcome.folder}: {outcome.result}{because}")  # noqa: T201
    if outcome.difference is not None:
        print(f"  {outcome.difference}")  # noqa: T201


def _not_rerun(record: Record) -> RecordOutcome:
    return RecordOutcome(
        folder=record.folder.as_posix(),
        stage=record.recipe.stage,
        record=record.recipe.id,
        determinism=record.recipe.determinism,
        compared="nothing",
        because="read what no job made, from the net or the user; rerun it with --fetch",
        result="not rerun",
        difference=None,
        files=[
            FileOutcome(name=output.name, sha256=output.sha256, rebuilt=[], difference=None)
            for output in record.recipe.outputs
        ],
        other_code=[],
        other_environment=False,
        environment={},
        here={},
        wall_s=0.0,
    )


def report(outcome: Outcome) -> None:
    """Print the outcome in one line.

    Raises
    ------
    BatError
        If a record broke the class that its stage declares.
    """
    counts = Counter(one.result for one in outcome.records)
    print(", ".join(f"{count} {result}" for result, count in counts.items()))  # noqa: T201
    if outcome.failures:
        first = outcome.failures[0]
        raise BatError(
            f"{len(outcome.failures)} records did not repeat as declared, the first: "
            f"{first.folder} ({first.determinism}): {first.difference}"
        )
