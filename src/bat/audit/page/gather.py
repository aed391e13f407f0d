"""Gather what the page shows from the records on disk."""

from collections.abc import Sequence

from bat.audit.experiment import FIGURES, TABLES
from bat.audit.marks import Mark
from bat.audit.page import problems
from bat.audit.page.data import Cell, Claim, FoldValues, Index, PageData, Problem, Verification
from bat.audit.page.judgement import Judgement
from bat.audit.page.records import Records
from bat.audit.page.tables import figures, ledgers, manifests
from bat.errors import BatError
from bat.evaluation import cells as table_cells
from bat.evaluation.cells import CELLS, read_cells
from bat.progress import track

_AUTHOR_RUN = "author run"


def gather(*, params: str | None = None, judgement: Judgement | None = None) -> PageData:
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
    table, claims_of = records.add(TABLES.as_posix()), _claims_of(said.claims)
    cells = [
        _cell(cell, records, claims_of.get(place, []), said.marks.get(cell.name))
        for place, cell in enumerate(track(numbers, "gathering"))
    ]
    drawn = figures(records, records.add(FIGURES.as_posix())) if FIGURES.is_dir() else []
    verifications, found = _verified(said, table, numbers, records)
    return PageData(
        params=params,
        table=table,
        confidence=_confidence(records),
        cells=cells,
        claims=list(said.claims),
        statements=list(said.statements),
        problems=found,
        verifications=verifications,
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


def _claims_of(claims: Sequence[Claim]) -> dict[Index, list[Index]]:
    """Return the claims of every cell that has some."""
    of_cell: dict[Index, list[Index]] = {}
    for number, claim in enumerate(claims):
        if claim.cell is not None:
            of_cell.setdefault(claim.cell, []).append(number)
    return of_cell


def _cell(cell: table_cells.Cell, records: Records, claims: list[Index], mark: Mark | None) -> Cell:
    folds: dict[str, FoldValues] = {}
    for run in cell.runs:
        of_fold = folds.setdefault(run.fold, FoldValues(fold=run.fold, seeds=[], values=[]))
        of_fold.seeds.append(run.seed)
        of_fold.values.append(round(100 * run.value, 2))
    return Cell(
        **cell.model_dump(include={*Cell.model_fields} & {*table_cells.Cell.model_fields}),
        folds=list(folds.values()),
        records=[records.add(folder) for folder in cell.folders],
        claims=claims,
        mark=_in_words(mark),
        independent=mark is not None and mark.state != _AUTHOR_RUN,
    )


def _in_words(mark: Mark | None) -> str:
    """Say who ran a cell: the author, unless a certificate says that others did."""
    if mark is None or mark.state == _AUTHOR_RUN:
        return _AUTHOR_RUN
    what = ", with everything behind it" if mark.chain else ""
    return f"{mark.state} by {', '.join(mark.by)}{what}"


def _verified(
    said: Judgement, table: Index, cells: Sequence[table_cells.Cell], records: Records
) -> tuple[list[Verification], list[Problem]]:
    """Return the verifications that were made, and every problem that is known."""
    outcomes, found = [], list[Problem]()
    if said.verification is not None:
        outcome, found = problems.of_verification(said.verification, table, cells, records)
        outcomes.append(outcome)
    if (outcome_before := problems.before_the_table(records)) is not None:
        outcomes.append(outcome_before)
    found += problems.of_records(records)
    found += problems.of_cells(cells, records)
    found += [problems.of_complaint(text, records) for text in said.complaints]
    return outcomes, found


def _confidence(records: Records) -> float:
    """Return the confidence of the table's intervals, from the settings of its record."""
    recipe = records.recipes.get(TABLES.as_posix())
    settings = {} if recipe is None else recipe.settings
    return float(settings.get("statistics", {}).get("confidence", 0.95))
