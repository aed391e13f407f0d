"""One run of one stage: verified inputs, atomic outputs, and the record of both.

The order of things is the point. Inputs are hashed and compared with the recipes of their makers
before anything is computed. Outputs are written to a folder that no rule of the workflow knows,
flushed to the disk, and moved into place only when the job is complete and still wanted; the
recipe is moved last, once the register of records has it. A job that is killed at any moment leaves
nothing that looks finished. Only one job at a time writes to a folder.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bat.durable import flush
from bat.errors import BatError
from bat.provenance.environment import RunClock, environment_lock
from bat.provenance.hashing import canonical_json, digest, sha256_of_file
from bat.provenance.lock import FolderLock
from bat.provenance.recipe import (
    RECIPE,
    RUN_LOG,
    InputFile,
    OutputFile,
    Recipe,
    read_recipe,
    verify_file,
)
from bat.provenance.register import Record, draft_entry, folder_in_register
from bat.slurm.runs import stop_if_superseded

_PARTIAL = ".partial-"
# Read once: asking for the mask means setting it, which other threads would see.
_UMASK = os.umask(0o022)
os.umask(_UMASK)


@dataclass(kw_only=True)
class Job:
    """Context of one run of a stage.

    Parameters
    ----------
    stage, selection
        Name of the stage, and what this job is about (model, task, fold ...).
    settings
        The parameters that this job sees, as plain values.
    inputs
        Files to read by role; each must lie beside the recipe of the job that made it.
    folder
        Where the outputs go.
    code
        Hash of every module that the stage imports.
    determinism
        ``bitwise``, ``bitwise-same-hardware``, ``tolerance`` or ``stochastic``.
    wanted
        Computes the digest of settings and code that the experiment wants now; asked at the start
        and at the end, so that work that went stale meanwhile is thrown away.

    A job that is not entered can be read from; it verifies and writes nothing. So do the further
    processes of a job that has several.

    Raises
    ------
    BatError
        On entry where an input does not match its recipe; on exit where the job went stale.
    """

    stage: str
    selection: Mapping[str, str]
    settings: dict[str, Any]
    inputs: Mapping[str, list[Path]]
    folder: Path
    code: dict[str, str]
    determinism: str
    wanted: Callable[[], str]
    _verified: list[InputFile] = field(default_factory=list, init=False)
    _notes: dict[str, Any] = field(default_factory=dict, init=False)
    _afterwards: list[Callable[[], None]] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        self._clock = RunClock()
        self._wanted_at_start = self.wanted()
        self._verified = [
            _verify_input(role, path) for role, paths in self.inputs.items() for path in paths
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._lock)
            for leftover in self.folder.glob(_PARTIAL + "*"):
                shutil.rmtree(leftover, ignore_errors=True)
            self._partial = self.folder / f"{_PARTIAL}{os.getpid()}"
            self._partial.mkdir()
            self._unlock = stack.pop_all()
        return self

    def has(self, role: str) -> bool:
        """Tell whether the job was given input files of a role."""
        return bool(self.inputs.get(role))

    def paths(self, role: str) -> list[Path]:
        """Return the verified input files of a role."""
        return list(self.inputs[role])

    def path(self, role: str) -> Path:
        """Return the one verified input file of a role."""
        (only,) = self.inputs[role]
        return only

    def maker(self, path: Path) -> Recipe:
        """Return the recipe of the job that made an input file."""
        return read_recipe(path.parent)

    def output(self, name: str) -> Path:
        """Return where to write an output file; it is moved into place when the job is done."""
        return self._partial / name

    def write_json(self, name: str, value: Any) -> None:
        """Write a plain value as canonical JSON."""
        self.output(name).write_text(canonical_json(value), encoding="utf-8")

    def note(self, name: str, value: Any) -> None:
        """Add a plain value to the run log: what happened, not what determines the outputs."""
        self._notes[name] = value

    def afterwards(self, action: Callable[[], None]) -> None:
        """Have something done once the outputs are in place, and only then, before others write."""
        self._afterwards.append(action)

    @property
    def identity(self) -> str:
        """Digest of all that determines the outputs: settings, code, inputs, environment.

        An interrupted job may go on only from what a job of the same identity left.
        """
        inputs = [known.model_dump(mode="json") for known in self._verified]
        return digest([self._wanted_at_start, inputs, environment_lock()])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._unlock:
            try:
                if kind is None:
                    self._publish()
                    for action in self._afterwards:
                        action()
            finally:
                shutil.rmtree(self._partial, ignore_errors=True)

    def _publish(self) -> None:
        recipe = self._recipe()
        self.output(RECIPE).write_text(recipe.text(), encoding="utf-8")
        run_log = self._clock.log(recipe.id) | self._notes
        self.write_json(RUN_LOG, run_log)
        names = [output.name for output in recipe.outputs] + [RUN_LOG, RECIPE]
        for name in names:
            # safetensors makes files that only their owner may read
            self.output(name).chmod(0o666 & ~_UMASK)
            flush(self.output(name))
        with self._registration(recipe, run_log["finished"]) as register:
            self._check_not_stale()
            (self.folder / RECIPE).unlink(missing_ok=True)
            for name in names[:-1]:
                self._move(name)
            # every recipe in place is the newest in the register, at every moment
            register()
            self._move(RECIPE)
        flush(self.folder)

    def _move(self, name: str) -> None:
        self.output(name).replace(self.folder / name)

    @contextlib.contextmanager
    def _registration(self, recipe: Recipe, finished: str) -> Iterator[Callable[[], object]]:
        """Prepare the entry in the register; nothing for a folder outside the working folder."""
        folder = folder_in_register(self.folder)
        if folder is None:
            yield lambda: None
            return
        run_log = sha256_of_file(self.output(RUN_LOG))
        record = Record(folder=folder, stage=self.stage, recipe=recipe.id, run_log=run_log)
        with draft_entry(record, finished=datetime.fromisoformat(finished)) as draft:
            yield draft.append

    def _recipe(self) -> Recipe:
        written = sorted(path for path in self._partial.iterdir() if path.is_file())
        return Recipe(
            format=1,
            stage=self.stage,
            selection=dict(self.selection),
            settings=self.settings,
            inputs=self._verified,
            outputs=[
                OutputFile(name=p.name, sha256=sha256_of_file(p), bytes=p.stat().st_size)
                for p in written
            ],
            code=self.code,
            environment_lock=environment_lock(),
            determinism=self.determinism,
            wanted=self._wanted_at_start,
        )

    def _check_not_stale(self) -> None:
        self._lock.check()
        stop_if_superseded()
        if self.wanted() != self._wanted_at_start:
            raise BatError(
                f"{self.folder}: the parameters or the code changed while this job ran; "
                "its result is discarded; run again"
            )
        for known in self._verified:
            if read_recipe(Path(known.path).parent).id != known.recipe:
                raise BatError(
                    f"{known.path}: was rebuilt while this job ran; its result is discarded; "
                    "run again"
                )


def _verify_input(role: str, path: Path) -> InputFile:
    maker = read_recipe(path.parent)
    return InputFile(
        role=role, path=path.as_posix(), sha256=verify_file(path, maker), recipe=maker.id
    )
