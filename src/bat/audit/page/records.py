"""Records behind the results, each once, with what they share."""

import json
from pathlib import Path
from typing import Any, Generic, TypeVar

from bat.audit.page.data import Code, Index, Input, Output, Record, Run
from bat.errors import BatError
from bat.provenance.hashing import digest, sha256_of_file
from bat.provenance.recipe import RECIPE, RUN_LOG, Recipe, read_recipe

T = TypeVar("T")
UNREADABLE = "no record"
# What of a run log describes the machine, and what the one job; the rest are notes.
_MACHINE = ("host", "system", "python", "cpu", "cores", "threads", "gpu", "packages")
_OF_JOB = (
    *("started", "finished", "wall_s", "cpu_s", "peak_memory_bytes"),
    *("peak_memory_children_bytes", "slurm_job_id"),
)


class Shared(Generic[T]):
    """Values that many refer to, each once."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._places: dict[str, Index] = {}

    def index(self, value: T) -> Index:
        """Return the place of a plain value, which is added where it is new."""
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        place = self._places.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


class Records:
    """Collects records and everything behind them, inputs first.

    A folder whose recipe is absent or damaged becomes a record that says so: the page shows what
    is there.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.recipes: dict[str, Recipe] = {}
        self.ids: dict[str, str] = {}
        self.hashes = Shared[str]()
        self.settings = Shared[Any]()
        self.environments = Shared[dict[str, Any]]()
        self.modules = Shared[tuple[str, Index]]()
        self.codes: list[Code] = []
        self._codes: dict[tuple[tuple[str, str], ...], Index] = {}
        self._places: dict[str, Index] = {}

    def add(self, folder: str) -> Index:
        """Add the record of a folder and those behind it; return its index."""
        pending, entered = [folder], set[str]()
        while pending:
            here = pending[-1]
            makers = [] if here in self._places or here in entered else self._makers(here)
            entered.add(here)  # in honest records no folder is behind itself
            waiting = [
                maker for maker in makers if maker not in self._places and maker not in entered
            ]
            if waiting:
                pending.extend(waiting)
                continue
            pending.pop()
            if here not in self._places:
                record = self._record(here)
                self._places[here] = len(self.records)
                self.records.append(record)
        return self._places[folder]

    def known(self, folder: str) -> Index | None:
        """Return the index of a folder's record, if it is there already."""
        return self._places.get(folder)

    def path(self, index: Index, name: str) -> Path:
        """Return where a file of a record lies."""
        return Path(self.records[index].folder, name)

    def _makers(self, folder: str) -> list[str]:
        if folder not in self.recipes:
            try:
                self.recipes[folder] = read_recipe(Path(folder))
            except BatError:
                return []
            # What was read is canonical, so the hash of the file is the id.
            self.ids[folder] = sha256_of_file(Path(folder, RECIPE))
        makers = [Path(known.path).parent.as_posix() for known in self.recipes[folder].inputs]
        return list(dict.fromkeys(makers))

    def _record(self, folder: str) -> Record:
        recipe = self.recipes.get(folder)
        if recipe is None:
            return Record(folder=folder, id=None, stage=UNREADABLE, problem=self._complaint(folder))
        return Record(
            folder=folder,
            id=self.hashes.index(self.ids[folder]),
            stage=recipe.stage,
            selection=recipe.selection,
            settings=self.settings.index(recipe.settings),
            inputs=[
                Input(
                    role=known.role,
                    path=known.path,
                    sha256=self.hashes.index(known.sha256),
                    recipe=self.hashes.index(known.recipe),
                    record=self._places.get(Path(known.path).parent.as_posix()),
                )
                for known in recipe.inputs
            ],
            outputs=[
                Output(name=made.name, bytes=made.bytes, sha256=self.hashes.index(made.sha256))
                for made in recipe.outputs
            ],
            code=self._code(recipe.code),
            environment_lock=self.hashes.index(recipe.environment_lock),
            determinism=recipe.determinism,
            run=self._run(folder),
        )

    def _complaint(self, folder: str) -> str:
        try:
            read_recipe(Path(folder))
        except BatError as error:
            return str(error)
        return ""

    def _code(self, code: dict[str, str]) -> Index:
        key = tuple(code.items())
        if key not in self._codes:
            modules = [
                self.modules.index((name, self.hashes.index(sha256)))
                for name, sha256 in code.items()
            ]
            self._codes[key] = len(self.codes)
            self.codes.append(Code(digest=self.hashes.index(digest(code)), modules=modules))
        return self._codes[key]

    def _run(self, folder: str) -> Run | None:
        path = Path(folder, RUN_LOG)
        try:
            log = json.loads(path.read_text(encoding="utf-8"), parse_constant=str)
        except (OSError, ValueError):
            return None
        machine = {name: log.pop(name, None) for name in _MACHINE}
        of_job = {name: log.pop(name, None) for name in _OF_JOB}
        git = log.pop("git", None) or {}
        log.pop("recipe", None)
        return Run(
            **of_job,
            commit=git.get("commit"),
            dirty=git.get("dirty"),
            environment=self.environments.index(machine),
            notes=log,
        )
