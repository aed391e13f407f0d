"""Recorded jobs done again, from verified inputs, and compared with what is on record.

The originals are read and never written to. How a rebuild must repeat its record is what the stage
declares; whatever differs beyond that is a failure, also between two rebuilds on one machine.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bat.audit.comparison import difference_of_values, first_difference, other_form, same_bytes
from bat.audit.outcome import (
    Compared,
    FileOutcome,
    Outcome,
    RecordOutcome,
    Result,
    environment_difference,
    now,
    same_hardware,
)
from bat.audit.rebuild import Inputs, Record, chain_of, read_log, read_record, rebuild
from bat.audit.trace import find_cell
from bat.errors import BatError
from bat.progress import track
from bat.provenance.determinism import EXACT
from bat.provenance.environment import git_state
from bat.provenance.hashing import sha256_of_file
from bat.provenance.lineage import recorded_folders
from bat.provenance.recipe import RECIPE, read_recipe
from bat.settings import STAGES

# Of a recipe: what other code or another environment changes, and what other bits do.
_OF_THE_CODE = {"code", "environment_lock", "wanted"}
_OF_THE_BITS = {"outputs"}
_WHOLE: dict[Compared, Result] = {
    "bytes": "identical",
    "tolerance": "within tolerance",
    "form": "same form",
}


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
        Whether to rerun stages that read what lies outside of the working folder.
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
        return [Path(asked)]
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
        if record.fetches and not request.fetch:
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
    if record.fetches and not request.fetch:
        outcome = _not_rerun(record)
    else:
        inputs.verify(record)
        started = time.monotonic()
        rebuilt = []
        for number in range(1, request.times + 1):
            (place / str(number)).mkdir(parents=True)
            rebuilt.append(rebuild(record, inputs, place / str(number)))
        inputs.rebuilt[record.folder] = rebuilt[0]
        outcome = _compare(record, rebuilt, round(time.monotonic() - started, 3))
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
        because="reads what lies outside of the working folder; rerun it with --fetch",
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


def _compare(record: Record, rebuilt: list[Path], wall_s: float) -> RecordOutcome:
    recipe, here = record.recipe, read_log(rebuilt[0])
    compared, because = _how(record, read_log(rebuilt[0]))
    files = [_file(record, name, rebuilt, compared) for name in _names(record, rebuilt)]
    differences = [f"{file.name}: {file.difference}" for file in files if file.difference]
    differences += filter(None, [_recipe_difference(record, rebuilt[0], compared)])
    identical = all(set(file.rebuilt) == {file.sha256} for file in files)
    result: Result = "identical" if identical else _WHOLE[compared]
    return RecordOutcome(
        folder=record.folder.as_posix(),
        stage=recipe.stage,
        record=recipe.id,
        determinism=recipe.determinism,
        compared=compared,
        because=because,
        result="different" if differences else result,
        difference=differences[0] if differences else None,
        files=files,
        other_code=record.other_code(),
        other_environment=record.other_environment,
        environment=environment_difference(record.log, here),
        here=here,
        wall_s=wall_s,
    )


def _how(record: Record, here: dict[str, object]) -> tuple[Compared, str | None]:
    """Say what must agree with the record, and why, where it is less than the class promises."""
    match record.recipe.determinism:
        case "bitwise":
            return "bytes", None
        case "bitwise-same-hardware":
            because = same_hardware(record.log, here)
            return ("bytes", None) if because is None else ("tolerance", because)
        case "tolerance":
            return "tolerance", None
        case "stochastic":
            return "form", "the stage is declared stochastic"
    raise BatError(f"{record.folder}: unknown class of determinism {record.recipe.determinism!r}")


def _names(record: Record, rebuilt: list[Path]) -> list[str]:
    """Names of all outputs, of the record and of its rebuilds."""
    recipes = [record.recipe, *map(read_recipe, rebuilt)]
    return list(dict.fromkeys(output.name for recipe in recipes for output in recipe.outputs))


def _file(record: Record, name: str, rebuilt: list[Path], compared: Compared) -> FileOutcome:
    """Compare an output with its rebuilds, and these with one another."""
    on_record = record.recipe.output(name)
    paths = [folder / name for folder in rebuilt]
    hashes = [sha256_of_file(path) if path.is_file() else "" for path in paths]
    if on_record is None or not all(hashes):
        difference: str | None = "is not among the outputs of every run"
    elif set(hashes) == {on_record.sha256}:
        difference = None
    else:
        difference = _difference(record, record.base / record.folder / name, paths[0], compared)
        # Here is one machine: whatever is not declared to vary repeats itself to the bit.
        among = "bytes" if record.recipe.determinism.startswith("bitwise") else compared
        for number, path in enumerate(paths[1:], start=2):
            if difference is None and (found := _difference(record, paths[0], path, among)):
                difference = f"rebuild 1 (as on record) against rebuild {number}: {found}"
    return FileOutcome(
        name=name,
        sha256=on_record.sha256 if on_record else "",
        rebuilt=hashes,
        difference=difference,
    )


def _difference(record: Record, one: Path, other: Path, compared: Compared) -> str | None:
    """Say how a file differs from another more than it may."""
    if not one.is_file():
        return "the original is not here, and its hash differs"
    if same_bytes(one, other):
        return None
    tolerance = EXACT if compared == "bytes" else record.tolerance(one.name)
    if compared == "form" or tolerance is None:
        return other_form(one, other)
    found = first_difference(one, other, tolerance)
    if found is None and compared == "bytes":
        return "the bytes differ, though the content is the same"
    return found


def _recipe_difference(record: Record, rebuilt: Path, compared: Compared) -> str | None:
    """Say where the rebuilt recipe differs in what it must repeat."""
    ignored = set(_OF_THE_CODE) if record.other_code() or record.other_environment else set()
    ignored |= set() if compared == "bytes" else _OF_THE_BITS
    one, other = (
        recipe.model_dump(mode="json", exclude=ignored)
        for recipe in (record.recipe, read_recipe(rebuilt))
    )
    found = difference_of_values(one, other)
    return None if found is None else f"{RECIPE}: {found}"


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
