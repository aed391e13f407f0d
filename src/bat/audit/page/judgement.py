"""What is said of the numbers: verdicts on claims, marks of reruns, the last verification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bat.audit.certificates import check_certificates
from bat.audit.claims import judgement
from bat.audit.marks import Mark, marks
from bat.audit.page.data import Claim, Finding, Index, Statement
from bat.audit.trace import todays_cells
from bat.audit.verification import Kept, read_kept
from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell
from bat.paper.qualitative import Judged
from bat.paper.verdicts import Verdict
from bat.workflow import Plan

_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What others say of the numbers; nothing where nobody said anything yet.

    Attributes
    ----------
    claims, statements
        Claims of the paper with their verdicts; claims name cells by their place in the table.
    marks
        By name of the cell; a cell without is the author's.
    verification
        Outcome of the last ``bat audit verify``.
    complaints
        Why something was not judged.
    """

    claims: Sequence[Claim] = ()
    statements: Sequence[Statement] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    verification: Kept | None = None
    complaints: Sequence[str] = ()


def judged(params: Path, tables: Path) -> Judgement:
    """Gather verdicts, marks and the last verification.

    A table that is not what its record says is not judged; the page says so.
    """
    if not (tables / CELLS).is_file():
        return Judgement()
    verification = read_kept()
    try:
        cells = todays_cells(tables)
        said = judgement(Plan(params), tables)
    except BatError as error:
        complaint = f"{error}; no claim was judged"
        return Judgement(verification=verification, complaints=[complaint])
    certificates = check_certificates(cells)
    return Judgement(
        claims=claims_shown(said.verdicts, cells),
        statements=[_statement(one) for one in said.statements],
        marks=marks(cells, certificates),
        verification=verification,
        complaints=[problem for one in certificates for problem in one.problems],
    )


def claims_shown(verdicts: Sequence[Verdict], cells: Sequence[Cell]) -> list[Claim]:
    """Bring verdicts into the form of the page."""
    places: dict[str | None, Index] = {cell.name: place for place, cell in enumerate(cells)}
    return [_claim(verdict, places.get(verdict.cell)) for verdict in verdicts]


def _claim(verdict: Verdict, cell: Index | None) -> Claim:
    claim = verdict.claim
    return Claim(
        **claim.model_dump(include={*Claim.model_fields} & {*type(claim).model_fields}),
        printed=claim.printed,
        verdict=verdict.verdict,
        reason=verdict.reason,
        cell=cell,
        ours=_rounded(verdict.value),
        low=_rounded(verdict.low),
        high=_rounded(verdict.high),
        margin=_rounded(verdict.margin),
        n_seeds=verdict.n_seeds,
        n_folds=verdict.n_folds,
        n_clips=verdict.n_clips,
        given=verdict.given,
        scale=verdict.scale,
        command=verdict.command,
    )


def _statement(said: Judged) -> Statement:
    return Statement(
        id=said.statement.id,
        text=said.statement.text,
        place=said.statement.place,
        holding=said.holding,
        reason=said.reason,
        printed=said.printed,
        findings=[
            Finding(
                what=finding.what,
                holding=finding.holding,
                reason=finding.reason,
                difference=_rounded(finding.difference),
                low=_rounded(finding.low),
                high=_rounded(finding.high),
                given=finding.given,
                scale=finding.scale,
            )
            for finding in said.findings
        ],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
