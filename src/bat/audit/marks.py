"""Who has made a cell of the main table: the author alone, or others too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bat.audit.certificates import Checked, check_certificates
from bat.audit.trace import todays_cells
from bat.evaluation.cells import CELLS, Cell

_SIGN = " ✓"
State = Literal["author run", "independently rerun"]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Who has made a cell.

    Attributes
    ----------
    state
        Whether somebody else reran it.
    by
        Who did.
    chain
        Whether they reran everything behind it, too.
    certificates
        File names of their certificates.
    """

    state: State
    by: list[str]
    chain: bool
    certificates: list[str]


def marks(cells: Iterable[Cell], certificates: Sequence[Checked]) -> dict[str, Mark]:
    """Return the mark of each cell, by its name.

    Parameters
    ----------
    certificates
        As `check_certificates` returns them, for the same cells.
    """
    return {cell.name: _mark(cell.name, certificates) for cell in cells}


def _mark(name: str, certificates: Sequence[Checked]) -> Mark:
    counting = [one for one in certificates if name in one.counts_for]
    made = [one.certificate for one in counting if one.certificate is not None]
    return Mark(
        state="independently rerun" if counting else "author run",
        by=sorted({one.who for one in made}),
        chain=any(one.outcome.chain for one in made),
        certificates=[one.path.name for one in counting],
    )


def signs_of(tables: Path) -> tuple[dict[str, str], str]:
    """Return a sign for every cell that others reran, by its name, and what it means."""
    if not (tables / CELLS).is_file():
        return {}, ""
    cells = todays_cells(tables)
    found = marks(cells, check_certificates(cells))
    signs = {name: _SIGN for name, mark in found.items() if mark.state != "author run"}
    counted = f"{len(signs)} of {len(cells)} cells"
    return signs, f"{_SIGN.strip()} independently rerun ({counted}); the others: author run"
