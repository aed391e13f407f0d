"""A recorded job done again, in a folder where it sees what its record names and nothing else.

The folder shows, under the paths on record, links to the files that the job read and to the recipes
beside them. The job is done by a process of its own, which is given the record and no parameters:
what it makes depends on the record alone.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bat.errors import BatError
from bat.provenance.determinism import EXACT, Tolerance
from bat.provenance.environment import environment_lock
from bat.provenance.recipe import RECIPE, RUN_LOG, Recipe, read_recipe, verify_file
from bat.runtime import DIE_WITH_PARENT
from bat.settings import recorded_settings, user_files
from bat.stages import READS_CHAIN
from bat.workflow import code_of_job

# What says where the data come from is passed on; what says where things lie here is not.
_PASSED_ON = ("BAT_MIRROR", "BAT_OFFLINE", "BAT_CONNECTIONS", "BAT_TIMEOUT_S", "BAT_CATALOGUE")
_LINES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record on the disk: its recipe, and the run log beside it.

    Attributes
    ----------
    folder
        Relative to the working folder, as other records name it.
    base
        The working folder.
    """

    folder: Path
    base: Path
    recipe: Recipe
    log: Mapping[str, Any]

    @property
    def begins_outside(self) -> bool:
        """Whether no job made what this one read: it came from the net, or from the user."""
        return not self.recipe.inputs

    def tolerance(self, name: str) -> Tolerance | None:
        """Return how far an output may be off where bits may differ; None: of its form only."""
        # only here, for it brings torch
        stage = importlib.import_module(f"bat.stages.{self.recipe.stage}")
        tolerances: Mapping[str, Tolerance | None] = getattr(stage, "TOLERANCES", {})
        return tolerances.get(name, EXACT)

    def other_code(self) -> list[str]:
        """Name the modules that are not those on record: changed, new or gone."""
        recorded, here = self.recipe.code, code_of_job(self.recipe.stage, self.settings())
        names = sorted({*recorded, *here})
        return [name for name in names if recorded.get(name) != here.get(name)]

    @property
    def other_environment(self) -> bool:
        """Whether the packages are locked to other versions than on record."""
        return self.recipe.environment_lock != environment_lock()

    def settings(self) -> Any:
        """Return the job's settings.

        Raises
        ------
        BatError
            Where this code reads them differently; says which commit does not.
        """
        try:
            return recorded_settings(self.recipe.stage, self.recipe.settings)
        except BatError as error:
            raise BatError(f"{self.folder}: {error}; {self.where_code_is}") from None

    @property
    def where_code_is(self) -> str:
        """Say which commit the job's code was."""
        git = self.log.get("git") or {}
        commit = git.get("commit") or "that was recorded"
        return f"check out commit {commit}{' (and its local changes)' if git.get('dirty') else ''}"


def read_record(folder: Path, base: Path) -> Record:
    """Read a record.

    Raises
    ------
    BatError
        If it is missing or damaged, or names a path that leads out of the working folder.
    """
    recipe = read_recipe(base / folder)
    for path in (*(known.path for known in recipe.inputs), folder.as_posix()):
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise BatError(f"{folder}: {path}: leads out of the working folder; cannot be rebuilt")
    for output in recipe.outputs:
        if PurePosixPath(output.name).name != output.name:
            raise BatError(f"{folder}: {output.name}: is no name of a file")
    return Record(folder=folder, base=base, recipe=recipe, log=read_log(base / folder))


def read_log(folder: Path) -> dict[str, Any]:
    """Read the run log in a folder; {} where there is none that can be read."""
    try:
        found = json.loads((folder / RUN_LOG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass
class Inputs:
    """Where the inputs of rebuilds are taken from, once they were verified.

    Attributes
    ----------
    base
        Folder of the originals.
    rebuilt
        Folders of what was rebuilt, by the folder on record: for those whose files are not there.
    """

    base: Path
    rebuilt: dict[Path, Path] = field(default_factory=dict)
    _verified: set[Path] = field(default_factory=set)

    def verify(self, record: Record) -> None:
        """Compare a record's inputs, and its outputs as far as they are here, with the record.

        Raises
        ------
        BatError
            Naming the file, and the expected and the found hash or record.
        """
        for made in record.recipe.outputs:
            if (path := self.base / record.folder / made.name).is_file():
                verify_file(path, record.recipe)
        for known in record.recipe.inputs:
            path = self.find(Path(known.path))
            maker = read_recipe(path.parent)
            if path not in self._verified:
                verify_file(path, maker)
                self._verified.add(path)
            output = maker.output(path.name)
            if maker.id != known.recipe or output is None or output.sha256 != known.sha256:
                raise BatError(
                    f"{record.folder}: was made from another version of {known.path}: record "
                    f"{known.recipe[:16]} then, {maker.id[:16]} now; nothing to rebuild it from"
                )

    def find(self, path: Path) -> Path:
        """Return where a recorded file lies."""
        original = self.base / path
        if not original.is_file() and path.parent in self.rebuilt:
            return self.rebuilt[path.parent] / path.name
        return original


def rebuild(record: Record, inputs: Inputs, place: Path) -> Path:
    """Do a recorded job again.

    Parameters
    ----------
    place
        A new folder, in which the job is done.

    Returns
    -------
    Path
        Folder of the rebuilt outputs, their recipe and run log.

    Raises
    ------
    BatError
        If the job fails; its log is quoted.
    """
    for path in dict.fromkeys(_seen(record)):
        _link(inputs.find(path), place / path)
    for path in dict.fromkeys(_of_the_user(record, inputs)):
        if not path.is_absolute() and (inputs.base / path).exists():
            _link(inputs.base / path, place / path)
    command = [sys.executable, "-P", "-m", "bat", "--threads", str(record.log.get("threads") or 1)]
    command += ["rebuild", str((record.base / record.folder).resolve())]
    command += ["--out", record.folder.as_posix(), "--ranks", str(_ranks(record))]
    done = subprocess.run(
        command, cwd=place, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "; ".join((done.stderr + done.stdout).split("\n")[-_LINES_SHOWN - 1 :]).strip("; ")
        raise BatError(f"{record.folder}: could not be rebuilt: {said}")
    return place / record.folder


def _seen(record: Record) -> Iterator[Path]:
    """Yield the files that the job may see."""
    if record.recipe.stage in READS_CHAIN:
        for folder, recipe in chain_of([record.folder], record.base).items():
            if folder != record.folder:
                yield from (folder / name for name in _files_of(recipe))
    for known in record.recipe.inputs:
        yield Path(known.path)
        yield Path(known.path).with_name(RECIPE)


def _files_of(recipe: Recipe) -> list[str]:
    return [RECIPE, *(output.name for output in recipe.outputs)]


def chain_of(folders: Iterable[Path], base: Path) -> dict[Path, Recipe]:
    """Collect records and those behind them, each after what it was made from."""
    met: dict[Path, Recipe] = {}
    found: dict[Path, Recipe] = {}
    pending = [(folder, False) for folder in reversed(list(folders))]
    while pending:
        folder, complete = pending.pop()
        if complete:
            found[folder] = met[folder]
        elif folder not in met:
            met[folder] = read_recipe(base / folder)
            makers = dict.fromkeys(Path(known.path).parent for known in met[folder].inputs)
            pending += [(folder, True), *((maker, False) for maker in makers)]
    return found


def _of_the_user(record: Record, inputs: Inputs) -> Iterator[Path]:
    """Yield what the job reads of the user's own, by its settings or those of its encoder."""
    yield from user_files(record.recipe.settings)
    for known in record.recipe.inputs:
        maker = inputs.find(Path(known.path).with_name(RECIPE)).parent
        yield from user_files(read_recipe(maker).settings)


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(source.resolve())


def _ranks(record: Record) -> int:
    """Return how many processes the job was, the last time that it was started."""
    runs = record.log.get("runs")
    return int(runs[-1]["ranks"]) if isinstance(runs, list) and runs else 1


def _environment() -> dict[str, str]:
    """Return the environment of a rebuild: this one, without what belongs to another run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BAT_") or name in _PASSED_ON
    }
    path = [str(Path(entry).resolve()) for entry in sys.path if entry]
    return kept | {"PYTHONPATH": os.pathsep.join(path), DIE_WITH_PARENT: "1"}
