"""From a number back to the bytes it came from: walking and verifying chains of recipes."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bat.errors import BatError
from bat.provenance.graph import Problem, makers_of
from bat.provenance.recipe import RECIPE, Recipe, difference, read_recipe
from bat.provenance.rehashing import sha256_of_files, usable_cores


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found of some records and of everything behind them.

    Attributes
    ----------
    recipes
        By folder.
    files, bytes
        What was rehashed, each file once.
    problems
        Records, files and links that do not match.
    """

    recipes: Mapping[Path, Recipe]
    files: int
    bytes: int
    problems: list[Problem]


def verify_records(
    folders: Iterable[Path], jobs: int | None = None, gatherers: Collection[Path] = ()
) -> Verified:
    """Read some records and all behind them, rehash their files, and compare their links.

    Parameters
    ----------
    folders
        Of jobs.
    jobs
        Number of threads that hash; None for one per core.
    gatherers
        Folders of jobs that only list what they read (see `bat.provenance.graph.Dependents`), so
        that what is behind them is left to the other ``folders``.
    """
    recipes, problems = read_lineage(folders, gatherers)
    sizes = {
        folder / output.name: output.bytes
        for folder, recipe in recipes.items()
        for output in recipe.outputs
    }
    found = sha256_of_files(sizes, jobs or usable_cores())
    problems += _changed(recipes, found)
    problems += _broken_links(recipes, gatherers)
    return Verified(recipes=recipes, files=len(sizes), bytes=sum(sizes.values()), problems=problems)


def read_lineage(
    folders: Iterable[Path], gatherers: Collection[Path] = ()
) -> tuple[dict[Path, Recipe], list[Problem]]:
    """Read the records of some folders and all behind them, and say which cannot be read."""
    recipes: dict[Path, Recipe] = {}
    problems: dict[Path, Problem] = {}
    pending = [*folders][::-1]
    while pending:
        here = pending.pop()
        if here in recipes or here in problems:
            continue
        try:
            recipes[here] = read_recipe(here)
        except BatError as error:
            problems[here] = Problem(kind="record", path=here, message=str(error), spoils=(here,))
        else:
            if here not in gatherers:
                pending.extend(sorted(makers_of(recipes[here]), reverse=True))
    return recipes, list(problems.values())


def _changed(recipes: Mapping[Path, Recipe], found: Mapping[Path, str | None]) -> Iterator[Problem]:
    """Name the files that are not what their recipes say."""
    for folder, recipe in recipes.items():
        for output in recipe.outputs:
            path = folder / output.name
            message = difference(path, recipe.stage, output.sha256, found[path])
            if message is not None:
                yield Problem(kind="file", path=path, message=message, spoils=(path,))


def _broken_links(recipes: Mapping[Path, Recipe], gatherers: Collection[Path]) -> Iterator[Problem]:
    """Name the inputs that are not the very outputs that their readers saw."""
    outputs = {
        folder: {output.name: output.sha256 for output in recipe.outputs}
        for folder, recipe in recipes.items()
    }
    for folder, recipe in sorted(recipes.items()):
        for known in recipe.inputs:
            path = Path(known.path)
            maker = recipes.get(path.parent)
            if maker is None:
                continue
            if (known.recipe, known.sha256) != (maker.id, outputs[path.parent].get(path.name)):
                yield Problem(
                    kind="link",
                    path=folder,
                    message=f"{folder}: was made from another version of {path}: "
                    f"recipe {known.recipe[:16]} then, {maker.id[:16]} now",
                    spoils=(path if folder in gatherers else folder,),
                )


def recorded_folders(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield every folder below some roots that holds a record, sorted; none of a running job."""
    for root in roots:
        # Jobs may come and go meanwhile, which os.walk takes calmly.
        found = (Path(folder) for folder, _, files in os.walk(root) if RECIPE in files)
        yield from sorted(folder for folder in found if not folder.name.startswith("."))
