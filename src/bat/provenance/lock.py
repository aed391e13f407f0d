"""One writer at a time for the folder of a job, on shared file systems too.

A lock is a file that says who holds it, made so that only one process can make it. Its holder
touches it every few seconds. A lock whose holder is gone is taken over; who is gone can be told

- on the same machine by the process,
- of a SLURM job by the queue,
- and otherwise by a lock that nobody has touched for two minutes, by the waiting one's own clock:
  clocks of different machines are never compared.

Kernel locks would do without all that, but on many clusters' file systems they are not there, or
hold on one machine only.
"""

import contextlib
import json
import logging
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bat.errors import BatError
from bat.processes import lives, started_s, this_machine
from bat.slurm.job import job_number, restarts
from bat.slurm.queue import own_jobs

LOCK = ".lock"
TOUCH_EVERY_S = 10.0
GONE_AFTER_S = 120.0
_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 60.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lock."""

    token: str
    host: str
    machine: str
    process: int
    started_s: float
    slurm_job: str | None
    slurm_restarts: int

    def __str__(self) -> str:
        job = f", SLURM job {self.slurm_job}" if self.slurm_job else ""
        return f"process {self.process} on {self.host}{job}"


class FolderLock:
    """The right to write to a folder, from entering to leaving.

    Entering waits for another holder, however long it works: two jobs that want the same folder do
    the same work, so that there is nothing to gain from both.

    Parameters
    ----------
    folder
        An existing folder; ``.lock`` in it is the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._me = _this_process()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        watch = _Watch()
        while not self._take():
            holder = _holder(self._path)
            if holder is None:  # it left just now, or is still writing its name
                pass
            elif watch.gone(self._path, holder):
                _LOG.info("%s: its holder is gone (%s); taking it over", self._path, holder)
                self._remove(holder)
                continue
            watch.say(self._path, holder)
            time.sleep(_LOOK_EVERY_S)
        threading.Thread(target=self._keep_fresh, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        if self.held():
            self._path.unlink(missing_ok=True)

    def held(self) -> bool:
        """Tell whether the lock is still this process's."""
        return _holder(self._path) == self._me

    def check(self) -> None:
        """Make sure of the lock before something is published under it.

        Raises
        ------
        BatError
            Where another took it over, as it may after this process was halted for minutes.
        """
        if not self.held():
            raise BatError(
                f"{self._path.parent}: another job took over while this one was halted; its "
                "result is discarded"
            )

    def _take(self) -> bool:
        """Make the lock with its content in one go: a link to a file that is complete."""
        draft = self._path.with_name(f"{LOCK}-{self._me.token}")
        draft.write_text(json.dumps(asdict(self._me)), encoding="utf-8")
        try:
            # exclusive on network file systems too, unlike opening with O_EXCL on old ones
            os.link(draft, self._path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _remove(self, dead: Holder) -> None:
        """Remove a dead holder's lock, and no other that came in its place meanwhile."""
        aside = self._path.with_name(f"{LOCK}-{self._me.token}.old")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside)
            if _holder(aside) != dead:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self._path)
            aside.unlink()

    def _keep_fresh(self) -> None:
        while not self._left.wait(TOUCH_EVERY_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)


class _Watch:
    """What a waiting process has seen of a lock."""

    def __init__(self) -> None:
        self._touched: tuple[str, float] | None = None
        self._since = time.monotonic()
        self._said = -_SAY_EVERY_S
        self._asked = -_SAY_EVERY_S

    def gone(self, path: Path, holder: Holder) -> bool:
        """Tell whether the holder of a lock is gone for certain."""
        if holder.machine == this_machine():
            return not lives(holder.process, holder.started_s)
        if holder.slurm_job is not None:
            # SLURM starts a job again only when all its processes have ended
            if holder.slurm_job == job_number() and holder.slurm_restarts != restarts():
                return True
            if self._has_left_the_queue(holder.slurm_job):
                return True
        return self._untouched(path, holder)

    def say(self, path: Path, holder: Holder | None) -> None:
        """Say now and then what is waited for."""
        now = time.monotonic()
        if holder is not None and now - self._said >= _SAY_EVERY_S:
            self._said = now
            _LOG.info("%s: waiting for %s, which writes there", path.parent, holder)

    def _has_left_the_queue(self, job: str) -> bool:
        now = time.monotonic()
        if now - self._asked < _SAY_EVERY_S / 4:
            return False
        self._asked = now
        queued = own_jobs()
        if queued is None:
            return False
        return not any(other.id == job and other.state != "PENDING" for other in queued)

    def _untouched(self, path: Path, holder: Holder) -> bool:
        try:
            touched = (holder.token, path.stat().st_mtime)
        except FileNotFoundError:
            return False
        now = time.monotonic()
        if touched != self._touched:
            self._touched, self._since = touched, now
        return now - self._since >= GONE_AFTER_S


def _this_process() -> Holder:
    return Holder(
        token=uuid.uuid4().hex,
        host=platform.node(),
        machine=this_machine(),
        process=os.getpid(),
        started_s=started_s(os.getpid()) or 0.0,
        slurm_job=job_number(),
        slurm_restarts=restarts(),
    )


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise BatError(f"{path}: is not what this project wrote; delete it") from None
