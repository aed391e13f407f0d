"""How a stage's process behaves: threads, logs, signals, and its parent's death."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

DIE_WITH_PARENT = "BAT_DIE_WITH_PARENT"
PARAMS_FILE = "BAT_PARAMS"
# Exit status of a job that was interrupted and can go on where it stopped (EX_TEMPFAIL).
INTERRUPTED = 75


def serve_stages(params: Path) -> None:
    """Prepare the environment of a workflow for the stages that it starts.

    The ``bat`` of the running interpreter comes first on PATH, reads ``params`` unless told
    otherwise, and ends when the workflow is gone.
    """
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ["PATH"] = os.pathsep.join(path)
    os.environ[PARAMS_FILE] = str(params)
    os.environ[DIE_WITH_PARENT] = "1"


def limit_threads(threads: int) -> None:
    """Give the numerical libraries ``threads`` threads; call before any of them is imported.

    Spinning threads on a busy machine cost up to 3.6 times the run time, hence PASSIVE.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def threads() -> int:
    """Return the number of threads that this process was given."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def start_log(path: Path | None) -> None:
    """Send the package's messages to standard error and, where given, to a log file."""
    logger = logging.getLogger("bat")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    who = f"rank {rank()}: " if under_torchrun() else ""
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {who}%(message)s", "%H:%M:%S"))
        logger.addHandler(handler)


def under_torchrun() -> bool:
    """Tell whether torchrun started this process as one of several ranks."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Return the number of this process among those that torchrun started; 0 if it is alone."""
    return int(os.environ["RANK"]) if under_torchrun() else 0


def local_rank() -> int:
    """Return the number of this process among those on this machine; 0 if it is alone."""
    return int(os.environ["LOCAL_RANK"]) if under_torchrun() else 0


class StopSignals:
    """Signals to stop, remembered until whoever works reaches a good place to do so.

    SIGTERM, SIGUSR1 (which SLURM can send ahead of a time limit) and SIGINT. A second SIGINT
    interrupts at once.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self) -> None:
        """Remember from now on; until the process ends, for signals may come twice."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)


def end_cleanly() -> None:
    """Turn SIGTERM into an ordinary exit, so that partial outputs are removed.

    SIGUSR1, SLURM's warning before a time limit, is for stages that can save their state; others
    work on.

    Under the workflow (``BAT_DIE_WITH_PARENT`` set) and under torchrun the process also ends when
    its parent is gone: a killed Snakemake leaves no orphan that goes on computing.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if os.environ.get(DIE_WITH_PARENT) or under_torchrun():
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    # both SLURM and Snakemake may send it; a second one would interrupt the cleaning up
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
