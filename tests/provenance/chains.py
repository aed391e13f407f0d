"""Three jobs in a row, made of plain bytes."""

from pathlib import Path

from provenance.conftest import make

SOURCE, MIDDLE, LAST = Path("data/source"), Path("data/middle"), Path("results/last")
FILES = {
    SOURCE / "x.bin": b"the first bytes",
    SOURCE / "y.bin": b"the other bytes",
    MIDDLE / "m.bin": b"in the middle..",
    MIDDLE / "n.bin": b"n",
    LAST / "r.bin": b"the result",
}


def outputs_of(folder):
    return {path.name: content for path, content in FILES.items() if path.parent == folder}


def build_chain():
    """Three jobs, each reading what the one before it made."""
    make(SOURCE, outputs_of(SOURCE), stage="source")
    make(MIDDLE, outputs_of(MIDDLE), [SOURCE / "x.bin", SOURCE / "y.bin"], stage="middle")
    make(LAST, outputs_of(LAST), [MIDDLE / "m.bin", SOURCE / "y.bin"], stage="last")
