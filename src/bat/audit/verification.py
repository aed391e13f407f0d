"""Does everything still hold? Every file rehashed, every number computed anew."""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bat.audit.experiment import (
    AUDIT,
    COMPANIONS,
    FIGURES,
    GATHERERS,
    METRICS,
    PREDICTIONS,
    TABLE_FILES,
    TABLES,
    Experiment,
    rows_of,
)
from bat.audit.recomputation import check_results
from bat.audit.records import check_alone, check_audit, check_records, other_code
from bat.audit.register import verify_register
from bat.audit.sources import check_sources
from bat.audit.tables import check_tables
from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell, read_cells
from bat.progress import readable_bytes
from bat.provenance.environment import environment_lock
from bat.provenance.graph import Dependents, Problem
from bat.provenance.hashing import canonical_json
from bat.provenance.lineage import Verified, recorded_folders, verify_records
from bat.provenance.recipe import RECIPE, read_recipe
from bat.provenance.register import REGISTER
from bat.provenance.rehashing import usable_cores
from bat.workflow import Plan

KEPT = AUDIT / "verification.json"
_LOG = logging.getLogger(__name__)
_ROOTS = (Path("data"), Path("results"))
# Of this size metrics and intervals take seconds; those of AudioSet take minutes.
_RECOMPUTED_UNASKED_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem, with the cells and the figures that stand on what is wrong."""

    kind: str
    path: str
    message: str
    cells: list[str]
    figures: list[str]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of a verification.

    Attributes
    ----------
    records, files, bytes
        What was read and rehashed.
    seconds
        How long the whole took.
    problems
        What does not hold.
    notes
        What a reader should know, though nothing is wrong with it.
    cells, figures
        ``ok`` or ``red``, by name; red ones stand on something that does not hold.
    """

    records: int
    files: int
    bytes: int
    seconds: float
    problems: list[Finding]
    notes: list[str]
    cells: dict[str, str]
    figures: dict[str, str]


def verify_experiment(
    plan: Plan, *, jobs: int | None = None, recompute: bool | None = None
) -> Report:
    """Verify all tables and figures that the parameters ask for, and everything behind them.

    Parameters
    ----------
    plan
        The experiment; the working folder holds its ``data`` and ``results``.
    jobs
        Threads; None for one per core.
    recompute
        Whether to compute metrics and cells anew from the predictions; None does if that takes no
        more than seconds.

    Raises
    ------
    BatError
        If nothing was run here yet.
    """
    started = time.monotonic()
    jobs = jobs or usable_cores()
    rows = rows_of(plan)
    folders = [folder for row in rows for folder in row.folders]
    drawn = [Path(file).parent for files in plan.figure_files().values() for file in files]
    if not any((folder / RECIPE).exists() for folder in (*folders, TABLES)):
        raise BatError(f"{TABLES}: nothing was run here yet; run it: snakemake --cores 2")
    verified = verify_records([TABLES, AUDIT, FIGURES, *folders, *drawn], jobs, GATHERERS)
    experiment = Experiment(
        plan=plan,
        rows=rows,
        recipes=verified.recipes,
        changed=frozenset(one.path for one in verified.problems if one.kind == "file"),
        jobs=jobs,
    )
    cells, problems = _cells(experiment)
    notes = list(_notes(experiment))
    if recompute is None:
        recompute = _size_of_predictions(experiment) <= _RECOMPUTED_UNASKED_BYTES
        if not recompute:
            notes.append("metrics and cells were not computed anew; --recompute does it")
    for check in (check_records, check_audit, check_sources):
        problems += check(experiment)
    if REGISTER.is_dir():
        problems += _registered()
    else:
        notes.append(
            f"{REGISTER}: no register of records here, so records were not held against it"
        )
    if cells is not None:
        problems += check_tables(experiment, cells)
    if recompute:
        problems += check_results(experiment, {cell.name: cell for cell in cells or ()})
    problems = [*verified.problems, *problems]
    return _report(experiment, verified, problems, cells or (), notes, started)


def _cells(experiment: Experiment) -> tuple[list[Cell] | None, list[Problem]]:
    """Read the cells; None where they are not what the table's job wrote, which is told before."""
    path = TABLES / CELLS
    if not experiment.intact(path):
        return None, []
    try:
        return read_cells(path), []
    except BatError as error:
        return None, [Problem(kind="cell", path=path, message=str(error), spoils=(path,))]


def _registered() -> Iterator[Problem]:
    """Hold the records against the register.

    A table or an audit made anew is told as such; it does not by itself spoil every cell.
    """
    for one in verify_register().problems:
        folder = Path(one.folder) if one.folder else None
        yield Problem(
            kind="register",
            path=folder or REGISTER,
            message=str(one),
            spoils=() if folder is None or folder in GATHERERS else (folder,),
        )


def _size_of_predictions(experiment: Experiment) -> int:
    outputs = (recipe.output(PREDICTIONS) for recipe in experiment.recipes.values())
    return sum(output.bytes for output in outputs if output is not None)


def _notes(experiment: Experiment) -> Iterator[str]:
    yield from other_code(experiment)
    recipes, here = experiment.recipes, environment_lock()
    others = [recipe for recipe in recipes.values() if recipe.environment_lock != here]
    if others:
        yield (
            f"{len(others)} of {len(recipes)} records were made in an environment of another lock "
            f"file than {here[:16]}, the first of {others[0].environment_lock[:16]}"
        )
    idle = [folder for folder in recorded_folders(_ROOTS) if folder not in recipes]
    if idle:
        yield (
            f"{len(idle)} other records lie here that no result depends on, the first is "
            f"{idle[0]}; not verified: bat audit verify {' '.join(map(str, _ROOTS))}"
        )


def _report(
    experiment: Experiment,
    verified: Verified,
    problems: Iterable[Problem],
    cells: Iterable[Cell],
    notes: list[str],
    started: float,
) -> Report:
    names = list(dict.fromkeys([*experiment.cells, *(cell.name for cell in cells)]))
    recipe = experiment.recipes.get(FIGURES)
    figures = [(FIGURES / output.name).as_posix() for output in recipe.outputs] if recipe else []
    figures = list(dict.fromkeys([*experiment.plan.figures(), *figures]))
    dependents = Dependents(
        experiment.recipes,
        {name: _files_of(experiment.cells.get(name, [])) for name in names}
        | {figure: [Path(figure)] for figure in figures},
        gatherers=GATHERERS,
        companions=COMPANIONS,
    )
    drawn = set(figures)
    findings = []
    for one in problems:
        results = dict.fromkeys([*dependents.of(one.spoils), *one.results])
        findings.append(
            Finding(
                kind=one.kind,
                path=one.path.as_posix(),
                message=one.message,
                cells=[name for name in results if name not in drawn],
                figures=[name for name in results if name in drawn],
            )
        )
    red = {name for finding in findings for name in (*finding.cells, *finding.figures)}
    return Report(
        records=len(verified.recipes),
        files=verified.files,
        bytes=verified.bytes,
        seconds=round(time.monotonic() - started, 3),
        problems=findings,
        notes=notes,
        cells={name: "red" if name in red else "ok" for name in names},
        figures={name: "red" if name in red else "ok" for name in figures},
    )


def _files_of(folders: Sequence[Path]) -> list[Path]:
    """Return the files that a cell is made of: where it is printed, and where it was measured."""
    printed = [*(TABLES / name for name in TABLE_FILES), AUDIT / "verified.json"]
    return printed + [folder / name for folder in folders for name in (METRICS, PREDICTIONS)]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The last outcome, as it is kept for the audit page.

    Attributes
    ----------
    finished
        When.
    table
        Id of the record of the main table that was verified; None where it has none.
    """

    finished: str
    table: str | None
    report: Report


def keep(report: Report, path: Path = KEPT) -> None:
    """Keep an outcome in the place of the last one; where nothing can be written, nothing is."""
    try:
        table = read_recipe(TABLES).id
    except BatError:
        table = None
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    text = canonical_json(asdict(Kept(finished=finished, table=table, report=report)))
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:  # results that belong to others can be verified too
        _LOG.info("%s: the outcome was not kept: %s", path, error.strerror)


def read_kept(path: Path = KEPT) -> Kept | None:
    """Read the last outcome; None where there is none.

    Raises
    ------
    BatError
        If the file is something else.
    """
    if not path.is_file():
        return None
    try:
        return TypeAdapter(Kept).validate_json(path.read_bytes())
    except ValidationError as error:
        first = str(error.errors()[0]["msg"])
        raise BatError(f"{path}: not the outcome of a verification: {first}; delete it") from None


def verify_folders(roots: Sequence[Path], *, jobs: int | None = None) -> Report:
    """Verify the records below some folders and all behind them, whatever the parameters say.

    Raises
    ------
    BatError
        If there is none.
    """
    started = time.monotonic()
    folders = list(recorded_folders(roots))
    if not folders:
        raise BatError(f"{', '.join(map(str, roots))}: no {RECIPE} found; nothing was run here yet")
    verified = verify_records(folders, jobs)
    alone = [one for item in verified.recipes.items() for one in check_alone(*item)]
    return Report(
        records=len(verified.recipes),
        files=verified.files,
        bytes=verified.bytes,
        seconds=round(time.monotonic() - started, 3),
        problems=[
            Finding(
                kind=one.kind, path=one.path.as_posix(), message=one.message, cells=[], figures=[]
            )
            for one in (*verified.problems, *alone)
        ],
        notes=[],
        cells={},
        figures={},
    )


def print_report(report: Report, *, as_json: bool = False) -> None:
    """Print the outcome of a verification.

    Raises
    ------
    BatError
        With the number of problems, after each was printed.
    """
    text = json.dumps(asdict(report), indent=1, ensure_ascii=False) if as_json else _text(report)
    print(text)  # noqa: T201
    if report.problems:
        first = report.problems[0].message
        raise BatError(f"{len(report.problems)} problems, the first: {first}")


def _text(report: Report) -> str:
    lines = []
    for finding in report.problems:
        lines.append(f"{finding.kind}: {finding.message}")
        for what, names in (("cells", finding.cells), ("figures", finding.figures)):
            if names:
                every = len(names) == len(getattr(report, what))
                lines.append(f"  {what}: " + (f"all {len(names)}" if every else " ".join(names)))
    lines += [f"note: {note}" for note in report.notes]
    for what, states in (("cells", report.cells), ("figures", report.figures)):
        red = [name for name, state in states.items() if state != "ok"]
        if red:
            lines.append(f"{len(red)} of {len(states)} {what} depend on what is wrong")
    lines.append(
        f"{report.records} records, {report.files} files, {readable_bytes(report.bytes)} rehashed, "
        f"{len(report.problems)} problems, {report.seconds:.1f} s"
    )
    if report.cells:
        good = [list(states.values()).count("ok") for states in (report.cells, report.figures)]
        lines.append(
            f"{good[0]} of {len(report.cells)} cells and {good[1]} of {len(report.figures)} files "
            "of figures hold"
        )
    return "\n".join(lines)
