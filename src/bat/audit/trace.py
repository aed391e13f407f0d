"""A number's way back: from a cell of the main table to the source archive."""

from collections.abc import Iterator
from pathlib import Path

from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell, read_cells
from bat.provenance.lineage import Verifier
from bat.provenance.recipe import read_recipe, verify_file


def find_cell(cell: str, tables: Path) -> Cell:
    """Return a cell of the main table.

    Parameters
    ----------
    cell
        ``model,method,task,metric``, with or without ``main.csv#`` before it, or a record's id.
    tables
        Folder of the main table.

    Raises
    ------
    BatError
        If there is no such cell, or ``cells.json`` is not what the table's job wrote.
    """
    cells = todays_cells(tables)
    name = cell.rpartition("#")[2]
    for entry in cells:
        if name in (entry.name, entry.record):
            return entry
    raise BatError(f"{name}: no such cell; there are {len(cells)}, e.g. {cells[0].name}")


def todays_cells(tables: Path) -> list[Cell]:
    """Return all cells of the main table.

    Raises
    ------
    BatError
        If there is no table, or ``cells.json`` is not what its job wrote.
    """
    path = tables / CELLS
    if not path.is_file():
        raise BatError(f"{path}: not there; build the table first: snakemake --cores 2")
    verify_file(path, read_recipe(tables))
    return read_cells(path)


def print_trace(cell: str, tables: Path, *, verify: bool) -> None:
    """Print the chain of records behind a cell, from the number to the source archive.

    Raises
    ------
    BatError
        If there is no such cell, a record is missing, or (with ``verify``) a hash differs.
    """
    entry = find_cell(cell, tables)
    print(f"{entry.name}: {entry.text}")  # noqa: T201
    verifier = Verifier()
    shown: set[Path] = set()
    for folder in [tables, *map(Path, entry.folders)]:
        if verify:
            verifier.add(folder)
        # The table itself depends on every cell: show its record, not all its inputs.
        for line in _tree(folder, shown, depth=1, follow=folder != tables):
            print(line)  # noqa: T201
    if verify:
        verifier.check_links()
        for problem in verifier.problems:
            print(problem)  # noqa: T201
        if verifier.problems:
            raise BatError(f"{len(verifier.problems)} problems, the first: {verifier.problems[0]}")
        print(f"verified: {verifier.files} files rehashed, all match")  # noqa: T201


def _tree(folder: Path, shown: set[Path], depth: int, *, follow: bool) -> Iterator[str]:
    """Describe a record and those behind it, each once, indented by distance."""
    recipe, indent = read_recipe(folder), "  " * depth
    if folder in shown:
        yield f"{indent}{recipe.stage} {folder} (shown above)"
        return
    shown.add(folder)
    yield f"{indent}{recipe.stage} {folder}  record {recipe.id[:16]}  {recipe.determinism}"
    for output in recipe.outputs:
        yield f"{indent}  {output.name}  {output.bytes} bytes  sha256 {output.sha256}"
    if follow:
        for maker in dict.fromkeys(Path(known.path).parent for known in recipe.inputs):
            yield from _tree(maker, shown, depth + 1, follow=True)
