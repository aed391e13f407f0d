"""From a number back to the bytes it came from: walking and verifying chains of recipes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bat.errors import BatError
from bat.progress import track
from bat.provenance.recipe import RECIPE, Recipe, read_recipe, verify_file


@dataclass
class Verifier:
    """Rehashes files against the recipes of their makers, each file once.

    Attributes
    ----------
    recipes
        Recipes met so far, by folder.
    files, bytes
        What was rehashed.
    problems
        One line for each file or link that does not match, in the order found.
    """

    recipes: dict[Path, Recipe] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, folder: Path) -> None:
        """Verify a folder's outputs and, through its inputs, everything behind them."""
        pending = [folder]
        while pending:
            here = pending.pop()
            if here in self.recipes:
                continue
            try:
                recipe = read_recipe(here)
            except BatError as error:
                self._note(str(error))
                continue
            self.recipes[here] = recipe
            self._rehash(here, recipe)
            pending.extend(sorted({Path(known.path).parent for known in recipe.inputs}))

    def check_links(self) -> None:
        """Check that every input is still the very output that its reader saw."""
        for folder, recipe in sorted(self.recipes.items()):
            for known in recipe.inputs:
                path = Path(known.path)
                maker = self.recipes.get(path.parent)
                if maker is None:
                    continue
                output = maker.output(path.name)
                if maker.id != known.recipe or output is None or output.sha256 != known.sha256:
                    self._note(
                        f"{folder}: was made from another version of {path}: "
                        f"recipe {known.recipe[:16]} then, {maker.id[:16]} now"
                    )

    def _rehash(self, folder: Path, recipe: Recipe) -> None:
        for output in recipe.outputs:
            try:
                verify_file(folder / output.name, recipe)
            except BatError as error:
                self._note(str(error))
            self.files += 1
            self.bytes += output.bytes

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def recorded_folders(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield every folder below some roots that holds a recipe, sorted."""
    for root in roots:
        yield from sorted(path.parent for path in root.rglob(RECIPE))


def print_verification(roots: list[Path]) -> None:
    """Verify every record below some folders and print the outcome.

    Raises
    ------
    BatError
        With the number of problems, after each was printed.
    """
    folders = list(recorded_folders(roots))
    if not folders:
        raise BatError(f"{', '.join(map(str, roots))}: no {RECIPE} found; nothing was run here yet")
    verifier = Verifier()
    for folder in track(folders, "verifying"):
        verifier.add(folder)
    verifier.check_links()
    for problem in verifier.problems:
        print(problem)  # noqa: T201
    print(  # noqa: T201
        f"{len(verifier.recipes)} records, {verifier.files} files, "
        f"{verifier.bytes / 2**20:.0f} MiB rehashed, {len(verifier.problems)} problems"
    )
    if verifier.problems:
        raise BatError(f"{len(verifier.problems)} problems, the first: {verifier.problems[0]}")


def find_cell(cell: str, tables: Path) -> dict[str, Any]:
    """Return the entry of ``cells.json`` for a cell.

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
    path = tables / "cells.json"
    if not path.is_file():
        raise BatError(f"{path}: not there; build the table first: snakemake --cores 2")
    verify_file(path, read_recipe(tables))
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    name = cell.rpartition("#")[2]
    for entry in cells:
        if name in (entry["cell"], entry["record"]):
            return entry
    raise BatError(f"{name}: no such cell; there are {len(cells)}, e.g. {cells[0]['cell']}")


def print_trace(cell: str, tables: Path, *, verify: bool) -> None:
    """Print the chain of records behind a cell, from the number to the source archive.

    Raises
    ------
    BatError
        If there is no such cell, a record is missing, or (with ``verify``) a hash differs.
    """
    entry = find_cell(cell, tables)
    print(f"{entry['cell']}: {entry['text']}")  # noqa: T201
    verifier = Verifier()
    shown: set[Path] = set()
    for folder in [tables, *map(Path, entry["folders"])]:
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
