"""SLURM's signals, passed on from Snakemake to the stage that it runs.

SLURM signals the process that it started itself, and on most clusters no other (proctrack/cgroup):
that is Snakemake, which waits for its stage without a word to it. SIGTERM, before a job is killed
(time limit, preemption, scancel), would never reach the stage; SIGUSR1, the warning that ``sbatch
--signal`` asks for, would end Snakemake and the stage with it.
"""

import os
import signal
import threading
from pathlib import Path

import psutil

_PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)


def pass_signals_on() -> None:
    """Let this process, a Snakemake inside a job, hand what SLURM sends it down to its stage.

    SIGTERM goes to the children. SIGUSR1 goes to every process below that listens for it: it would
    end the others, such as a launcher between this process and the ranks of a training.

    Snakemake sets a handler of its own for SIGTERM later; so the signals are read from the file
    that Python writes them to beside calling the handlers.
    """
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    threading.Thread(target=_pass_on, args=(receiving,), daemon=True).start()


def _pass_on(receiving: int) -> None:
    while numbers := os.read(receiving, 64):
        for number in numbers:
            if number in _PASSED_ON:
                _signal_stage(number)


def _signal_stage(number: int) -> None:
    warning = number == signal.SIGUSR1
    for process in psutil.Process().children(recursive=warning):
        if not warning or listens(process.pid, number):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


def listens(process: int, number: int) -> bool:
    """Tell whether a process of this machine has a handler for a signal (Linux)."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    (caught,) = (line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
