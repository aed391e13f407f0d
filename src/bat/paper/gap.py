"""Where the difference between a claim and this project's value comes from.

From the claim to our value three things change, one after the other: the clips it is tested on
(*data*), the training of the head (*head*), and the encoder's pretraining (*pretraining*). A run
that stands between two changes tells them apart; without it they are one joint part.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from bat.evaluation.cells import Cell
from bat.paper.claims import Claim

STEPS = ("data", "head", "pretraining")
COLUMNS = (
    "claim", "model", "method", "task", "metric", "claimed", "ours", "difference",
    *STEPS, "joint", "joint_of", "note",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A difference in its parts, in hundredths of a point.

    Attributes
    ----------
    known
        By step of ``STEPS``, those that are known alone.
    joint, joint_of
        The part of neighbouring steps that no run tells apart, and which steps these are.
    """

    known: dict[str, int]
    joint: int | None
    joint_of: tuple[str, ...]


def split(values: Sequence[int | None]) -> Parts:
    """Split the way from a claim to our value into the parts that runs tell apart.

    The parts sum to the difference exactly, as they are differences of whole numbers.

    Parameters
    ----------
    values
        In hundredths of a point: the claim; the published encoder with its published head on our
        clips; the published encoder with our head; ours. Those in between may be None.
    """
    runs = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(values) != len(STEPS) + 1 or None in (values[0], values[-1]):
        raise ValueError(f"expected the claim, two runs or None, and our value; found {values}")
    known: dict[str, int] = {}
    joint: int | None = None
    joint_of: tuple[str, ...] = ()
    for (start, before), (end, after) in pairwise(runs):
        if end - start == 1:
            known[STEPS[start]] = after - before
        else:  # three steps hold one such gap at most
            joint, joint_of = after - before, STEPS[start:end]
    return Parts(known=known, joint=joint, joint_of=joint_of)


def gap_table(
    claims: Iterable[Claim], cells: Iterable[Cell], published: Collection[str]
) -> pl.DataFrame:
    """Attribute the difference to every claim for which there is a cell.

    Parameters
    ----------
    claims
        The paper's.
    cells
        Of the main table.
    published
        Models whose encoders are converted from published weights.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, values in points with two decimals; parts that are not known alone are
        null. The parts of a row, ``joint`` among them, sum to its ``difference``.
    """
    by_name = {cell.name: cell for cell in cells}
    rows = [
        _row(claim, by_name, published)
        for claim in claims
        if any(name in by_name for name in claim.cells)
    ]
    return pl.DataFrame(rows, schema=dict(_SCHEMA), orient="row")


_NUMBERS = ("claimed", "ours", "difference", *STEPS, "joint")
_SCHEMA = [(name, pl.Float64 if name in _NUMBERS else pl.String) for name in COLUMNS]


def _row(
    claim: Claim, cells: Mapping[str, Cell], published: Collection[str]
) -> dict[str, str | float | None]:
    ours, released = _runs(claim, cells, published)
    claimed, found = round(100 * claim.value), _hundredths(ours)
    # No head of the paper's is published, so that nothing tells the clips from the head.
    between = None if released is None else _hundredths(released)
    parts = split([claimed, None, between, found])
    return {
        "claim": claim.id,
        "model": ours.model,
        "method": ours.method,
        "task": ours.task,
        "metric": ours.metric,
        "claimed": claimed / 100,
        "ours": found / 100,
        "difference": (found - claimed) / 100,
        **{step: _points(parts.known.get(step)) for step in STEPS},
        "joint": _points(parts.joint),
        "joint_of": " and ".join(parts.joint_of),
        "note": _note(ours, released),
    }


def _runs(
    claim: Claim, cells: Mapping[str, Cell], published: Collection[str]
) -> tuple[Cell, Cell | None]:
    """Return our cell for a claim, and the cell of the same method on the published encoder."""
    found = [cells[name] for name in claim.cells if name in cells]
    of_published = [cell for cell in found if cell.model in published]
    return found[0], of_published[0] if of_published else None


def _note(ours: Cell, released: Cell | None) -> str:
    if released is None:
        return "no published encoder was evaluated"
    if released is ours:
        return f"{ours.model} is the published encoder: no pretraining of one's own"
    return f"published encoder: {released.model}"


def _hundredths(cell: Cell) -> int:
    return round(10_000 * cell.value)


def _points(hundredths: int | None) -> float | None:
    return None if hundredths is None else hundredths / 100
