"""Checkpoints on disk: whole or absent, hashed, and never trusted unread.

A checkpoint is a folder ``step-<steps>`` with ``state.safetensors``, ``state.json`` and a
``manifest.json`` that holds the hash of both. It is written under another name, forced to the disk
and renamed. Reading verifies the hashes; a damaged checkpoint is named, put aside and the one
before it is taken. Where all are damaged the training stops: a person decides what is lost.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bat.durable import flush
from bat.errors import BatError
from bat.provenance.hashing import canonical_json, sha256_of_file

_LOG = logging.getLogger(__name__)
_PREFIX, _PARTIAL, _DAMAGED, _STOPPED = "step-", ".partial-", "damaged-", "stopped-at-"
_TENSORS, _FACTS, _MANIFEST, _OWNER = (
    "state.safetensors", "state.json", "manifest.json", "owner.json",
)  # fmt: skip
# safetensors reports a full disk as an error of its own.
_WRITE_ERRORS = (OSError, SafetensorError)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified checkpoint: where it is, and what it holds."""

    folder: Path
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training; the process that opened them last owns them.

    Parameters
    ----------
    folder : Path
        Of this training alone: its name is a digest of all that determines the result, so that
        no other training's state is ever found in it.
    keep : int
        How many of the newest are kept.
    owner : mapping
        Host, process and the like, for the message to one who lost the ownership.
    outputs : Path, optional
        Where the result will lie; trainings beside this one that name the same were for it.
    """

    def __init__(
        self, folder: Path, *, keep: int, owner: Mapping[str, Any], outputs: Path | None = None
    ) -> None:
        self.folder, self.keep = folder, keep
        # as seen from here, so that a working folder may be moved
        place = outputs and os.path.relpath(outputs.resolve(), folder.resolve())
        self._owner = {**owner, "outputs": place, "token": uuid4().hex}
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(_PARTIAL + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        claim = folder / f"{_OWNER}.{self._owner['token']}"
        _write_flushed(claim, canonical_json(self._owner))
        claim.replace(folder / _OWNER)

    def check_owner(self) -> None:
        """Make sure that no other process has taken over.

        A workflow that was killed and started again trains anew what a job that outlived it
        still trains. The older one ends.

        Raises
        ------
        BatError
            Where another process opened the folder since.
        """
        try:
            owner = json.loads((self.folder / _OWNER).read_text(encoding="utf-8"))
        except FileNotFoundError:  # it published, and removed the folder
            owner = {}
        except OSError as error:
            _LOG.warning("%s: could not be read (%s)", self.folder / _OWNER, _reason(error))
            return
        if owner.get("token") != self._owner["token"]:
            known = {k: v for k, v in owner.items() if k not in ("outputs", "token")}
            who = ", ".join(f"{k} {v}" for k, v in known.items()) or "unknown"
            raise BatError(
                f"{self.folder}: another process has taken over this training ({who}); this one "
                "ends and writes nothing"
            )

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bool:
        """Write a checkpoint and drop the oldest ones; tell whether it could be written.

        A failure, of a full disk for instance, is logged: the older ones stay, the training may
        go on.
        """
        self.check_owner()
        steps = int(facts["steps"])
        target = self.folder / f"{_PREFIX}{steps:09d}"
        started = time.monotonic()
        try:
            self._write(target, tensors, facts)
        except _WRITE_ERRORS as error:
            newest = max(self._steps(), default=None)
            rest = "none before it" if newest is None else f"the newest is of step {newest}"
            _LOG.warning(
                "checkpoint at step %d could not be written (%s); %s", steps, _reason(error), rest
            )
            return False
        for old in sorted(self._steps())[: -self.keep]:
            shutil.rmtree(self._of(old), ignore_errors=True)
        _LOG.info("checkpoint at step %d, %.1f s", steps, time.monotonic() - started)
        return True

    def newest(self) -> Checkpoint | None:
        """Read the newest sound checkpoint; None where none was ever written.

        Raises
        ------
        BatError
            Where there are checkpoints and all are damaged.
        """
        damaged = []
        for steps in sorted(self._steps(), reverse=True):
            folder = self._of(steps)
            try:
                found = _read(folder, steps)
            except (ValueError, KeyError, *_WRITE_ERRORS) as error:
                _LOG.warning("%s: damaged and not used: %s", folder, _reason(error))
                damaged.append(folder)
                continue
            for other in damaged:
                aside = other.with_name(f"{_DAMAGED}{other.name}")
                shutil.rmtree(aside, ignore_errors=True)
                other.rename(aside)
            return found
        if damaged:
            raise BatError(
                f"{self.folder}: all {len(damaged)} checkpoints are damaged; to start anew from "
                "the first step, remove this folder and run the same command again"
            )
        return None

    def keep_for_inspection(
        self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> Path | None:
        """Save the state of a training that went wrong; no training goes on from it."""
        target = self.folder / f"{_STOPPED}{_PREFIX}{int(facts['steps']):09d}"
        try:
            self._write(target, tensors, facts)
        except _WRITE_ERRORS as error:
            _LOG.warning("%s could not be written (%s)", target, _reason(error))
            return None
        return target

    def remove(self) -> None:
        """Remove the folder, once the training's result is published.

        Those of trainings for the same result under other parameters or with other code go too:
        nothing will go on from them. Folders beside it may be of another experiment.
        """
        for other in self.folder.parent.iterdir():
            if other == self.folder or self._replaces(other):
                shutil.rmtree(other, ignore_errors=True)
        for parent in list(self.folder.parents)[:2]:
            try:
                parent.rmdir()
            except OSError:  # not empty
                break

    def _replaces(self, other: Path) -> bool:
        try:
            owner = json.loads((other / _OWNER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        outputs = self._owner["outputs"]
        return outputs is not None and owner.get("outputs") == outputs

    def _write(self, target: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        partial = self.folder / f"{_PARTIAL}{target.name}-{self._owner['token']}"
        try:
            partial.mkdir()
            # copies in memory: safetensors refuses tensors that share theirs, and those of a GPU
            plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
            save_file(plain, partial / _TENSORS)
            flush(partial / _TENSORS)
            _write_flushed(partial / _FACTS, json.dumps(facts))
            hashes = {name: sha256_of_file(partial / name) for name in (_TENSORS, _FACTS)}
            _write_flushed(partial / _MANIFEST, canonical_json({"sha256": hashes}))
            flush(partial)
            self.check_owner()
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            flush(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _steps(self) -> list[int]:
        names = [path.name.removeprefix(_PREFIX) for path in self.folder.glob(_PREFIX + "*")]
        return [int(name) for name in names if name.isdecimal()]

    def _of(self, steps: int) -> Path:
        return self.folder / f"{_PREFIX}{steps:09d}"


def _read(folder: Path, steps: int) -> Checkpoint:
    """Read a checkpoint and verify it; any way it can be wrong is an exception."""
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    for name in (_TENSORS, _FACTS):
        expected, found = manifest["sha256"][name], sha256_of_file(folder / name)
        if found != expected:
            raise ValueError(f"{name}: expected sha256 {expected}, found {found}")
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    if facts["steps"] != steps:
        raise ValueError(f"{_FACTS}: expected step {steps}, found {facts['steps']}")
    return Checkpoint(folder=folder, tensors=load_file(folder / _TENSORS), facts=facts)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _write_flushed(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
