"""What depends on what: from a file or a record that is wrong to the results that stand on it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bat.provenance.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that does not hold.

    Attributes
    ----------
    kind
        Which check found it.
    path
        The file or the folder that it is about.
    message
        One line: what, where, expected and found.
    spoils
        Files, and folders of jobs, that can no longer be relied on.
    results
        Names of results that it is about directly.
    """

    kind: str
    path: Path
    message: str
    spoils: tuple[Path, ...] = ()
    results: tuple[str, ...] = ()


class Dependents:
    """Which results stand on a file or on a job, as the recipes tell it.

    A job relies on every file that it read, and a result on the files that it is made of. A file
    that no job read spoils nothing but itself. Sets of results are whole numbers, one bit a result,
    and each job is visited once or twice, so that thousands of results take no time.

    Parameters
    ----------
    recipes
        By folder.
    results
        Files that each result is made of, by the result's name.
    gatherers
        Folders of jobs that read all results only to list them: what one of them read does not
        spoil everything that it lists.
    companions
        Names of files that vouch for another file of their folder, by name: who relies on that one
        relies on them.
    """

    def __init__(
        self,
        recipes: Mapping[Path, Recipe],
        results: Mapping[str, Iterable[Path]],
        *,
        gatherers: Iterable[Path] = (),
        companions: Mapping[str, str] | None = None,
    ) -> None:
        self._names = list(results)
        self._recipes = recipes
        self._of_file: dict[Path, int] = defaultdict(int)
        self._of_folder: dict[Path, int] = defaultdict(int)
        for place, files in enumerate(results.values()):
            for file in files:
                self._add(file, 1 << place)
        passed_on = set(recipes) - set(gatherers)
        order = [folder for folder in _readers_first(recipes) if folder in passed_on]
        news = True
        while news:  # once, and once more to see it; forged records may go round in a circle
            news = False
            for folder in order:
                news |= self._pass_on(folder)
        for folder, recipe in recipes.items():
            for output in recipe.outputs:
                relied_on = (companions or {}).get(output.name)
                if relied_on is not None:
                    self._add(folder / output.name, self._of_file.get(folder / relied_on, 0))

    def of(self, spoiled: Iterable[Path]) -> list[str]:
        """Return the names of the results that stand on some files or folders, in their order."""
        bits = 0
        for path in spoiled:
            bits |= self._of_file.get(path, 0) | self._of_folder.get(path, 0)
        return [self._names[place] for place in _places(bits)]

    def _add(self, file: Path, bits: int) -> None:
        self._of_file[file] |= bits
        self._of_folder[file.parent] |= bits

    def _pass_on(self, folder: Path) -> bool:
        """Let what a job read answer for all that stands on the job; tell whether that is news."""
        bits, news = self._of_folder.get(folder, 0), False
        for known in self._recipes[folder].inputs:
            file = Path(known.path)
            if bits & ~self._of_file.get(file, 0):
                self._add(file, bits)
                news = True
        return news


def _readers_first(recipes: Mapping[Path, Recipe]) -> Sequence[Path]:
    """Order jobs so that each stands before those that made what it read."""
    makers = {folder: makers_of(recipe) for folder, recipe in recipes.items()}
    done: dict[Path, None] = {}
    begun: set[Path] = set()
    for start in recipes:
        pending: list[tuple[Path, Iterator[Path]]] = []
        if start not in begun:
            begun.add(start)
            pending.append((start, iter(makers[start])))
        while pending:
            folder, rest = pending[-1]
            following = next((one for one in rest if one in recipes and one not in begun), None)
            if following is None:
                done[folder] = None
                pending.pop()
            else:
                begun.add(following)
                pending.append((following, iter(makers[following])))
    return list(done)[::-1]


def makers_of(recipe: Recipe) -> list[Path]:
    """Return the folders of the jobs that made what a job read, each once."""
    return list(dict.fromkeys(Path(known.path).parent for known in recipe.inputs))


def _places(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set, from the lowest."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
