"""Runs of Snakemake on a cluster, and jobs that outlive the run that submitted them.

When Snakemake is killed, its jobs live on in the queue. A new run in the same folder would submit
them once more, and the old ones would later remove or overwrite what the new ones made. So a run
signs the folder with a token of its own and hands it down to its jobs; then it cancels what an
earlier run left. A job whose token is no longer the folder's belongs to nobody: it ends.
"""

import atexit
import json
import logging
import os
import platform
import signal
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from bat.errors import BatError
from bat.processes import lives, started_s, this_machine
from bat.slurm.queue import QueuedJob, cancel, jobs_of_folder

_LOG = logging.getLogger(__name__)
# In the environment of every job of a run.
TOKEN = "BAT_RUN"
# In the working folder, which all machines see.
SIGNATURE = Path(".snakemake/bat-run.json")
_SECONDS_TO_END = 180.0
_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Who runs jobs of a folder: a token, and the Snakemake behind it."""

    token: str
    process: int
    started_s: float
    host: str
    machine: str

    def __str__(self) -> str:
        return f"Snakemake (process {self.process} on {self.host})"


def begin_run() -> None:
    """Make this process the one whose jobs may write to the working folder.

    Raises
    ------
    BatError
        Where another Snakemake runs jobs of this folder, or may do so on another machine; where
        jobs of an earlier run cannot be ended.
    """
    _refuse_company()
    token = uuid.uuid4().hex
    _sign(token)
    os.environ[TOKEN] = token
    atexit.register(_sign_off, token)
    _end_orphans()


def superseded() -> bool:
    """Tell whether this process is a job of a run that another one has taken over from."""
    token = os.environ.get(TOKEN)
    signature = _signature()
    return token is not None and signature is not None and signature.token != token


def stop_if_superseded() -> None:
    """End a job that outlived its run before it touches anything.

    Raises
    ------
    BatError
        Where another run has taken over the folder.
    """
    if superseded():
        raise BatError(
            f"{Path.cwd()}: this job belongs to an earlier run of Snakemake; another has taken "
            "over, and this one's result is not wanted"
        )


def end_when_superseded() -> None:
    """Let a job's process end, as if SLURM had ended it, soon after another run has taken over."""
    if TOKEN in os.environ:
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while not superseded():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    _LOG.warning("another run of Snakemake has taken over this folder; ending")
    os.kill(os.getpid(), signal.SIGTERM)


def living_run(folder: Path) -> str | None:
    """Name the Snakemake that runs jobs of a folder, if it lives or may live.

    Parameters
    ----------
    folder
        A working folder.

    Returns
    -------
    str or None
        Process and host; None where no run has signed the folder, or its Snakemake is gone.

    Raises
    ------
    BatError
        Where the folder's signature is damaged.
    """
    run = _signature(folder)
    if run is None or (run.machine == this_machine() and not lives(run.process, run.started_s)):
        return None
    return str(run)


def _refuse_company() -> None:
    other = _signature()
    if other is None or other.process == os.getpid() or living_run(Path()) is None:
        return
    if other.machine != this_machine():
        raise BatError(
            f"{Path.cwd()}: {other} may still run jobs of this folder; end it there. If it is "
            f"gone, delete {SIGNATURE} and run again"
        )
    raise BatError(f"{Path.cwd()}: {other} runs jobs of this folder; wait for it or end it")


def _end_orphans() -> None:
    """Cancel jobs that an earlier run left, and wait until they are gone."""
    orphans = jobs_of_folder(Path.cwd())
    if orphans is None:
        _LOG.warning("squeue does not answer: jobs of an earlier run cannot be looked for")
        return
    if not orphans:
        return
    _LOG.warning("cancelling %s, left by a run of Snakemake that is gone", _names(orphans))
    cancel(orphans)
    deadline = time.monotonic() + _SECONDS_TO_END
    while orphans and time.monotonic() < deadline:
        time.sleep(1.0)
        orphans = jobs_of_folder(Path.cwd()) or []
    if orphans:
        raise BatError(
            f"{Path.cwd()}: {_names(orphans)} of an earlier run did not end when cancelled; "
            "see squeue --me, and run again when gone"
        )


def _names(jobs: list[QueuedJob]) -> str:
    return ", ".join(f"job {job.id} ({job.comment})" for job in jobs)


def _sign(token: str) -> None:
    me = Signature(
        token=token,
        process=os.getpid(),
        started_s=started_s(os.getpid()) or 0.0,
        host=platform.node(),
        machine=this_machine(),
    )
    SIGNATURE.parent.mkdir(exist_ok=True)
    draft = SIGNATURE.with_suffix(f".{token}")
    draft.write_text(json.dumps(asdict(me)), encoding="utf-8")
    draft.replace(SIGNATURE)


def _signature(folder: Path = Path()) -> Signature | None:
    path = folder / SIGNATURE
    try:
        return Signature(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise BatError(f"{path}: is not what this project wrote; delete it") from None


def _sign_off(token: str) -> None:
    signature = _signature()
    if signature is not None and signature.token == token:
        SIGNATURE.unlink(missing_ok=True)
