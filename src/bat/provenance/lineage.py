"""From a number back to the bytes it came from: walking and verifying chains of recipes."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
    """Yield every folder below some roots that holds a record, sorted; none of a running job."""
    for root in roots:
        # Jobs may come and go meanwhile, which os.walk takes calmly.
        found = (Path(folder) for folder, _, files in os.walk(root) if RECIPE in files)
        yield from sorted(folder for folder in found if not folder.name.startswith("."))


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
