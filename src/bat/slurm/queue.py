"""SLURM's own commands: what is in the queue, and what becomes of a job."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Snakemake's jobs are named <prefix>_<run>; the profile sets this prefix.
JOB_PREFIX = "bat"
_PATIENCE_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedJob:
    """A job that SLURM knows.

    Parameters
    ----------
    id
        SLURM's number, with an array's index where there is one.
    state
        SLURM's word, for example ``RUNNING``.
    name
        What it was submitted as.
    elapsed
        How long it runs, as SLURM writes it.
    comment
        Rule and wildcards, by Snakemake.
    folder
        Working directory.
    """

    id: str
    state: str
    name: str
    elapsed: str
    comment: str
    folder: Path


def installed() -> bool:
    """Tell whether this machine can submit to a SLURM."""
    return shutil.which("sbatch") is not None


def ask(*command: str) -> str | None:
    """Return what a command prints, or None where it is missing, fails or does not answer."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def own_jobs() -> list[QueuedJob] | None:
    """Return this user's jobs that wait, run or end; None where SLURM does not answer."""
    answer = ask("squeue", "--me", "--noheader", "--format=%i|%T|%j|%M|%k|%Z")
    if answer is None:
        return None
    return [_parse(line) for line in answer.splitlines() if line.strip()]


def jobs_of_folder(folder: Path) -> list[QueuedJob] | None:
    """Return those of this user's jobs that Snakemake submitted for a working folder."""
    jobs = own_jobs()
    if jobs is None:
        return None
    folder = folder.resolve()
    return [
        job
        for job in jobs
        if job.name.startswith(f"{JOB_PREFIX}_") and job.folder.resolve() == folder
    ]


def cancel(jobs: list[QueuedJob]) -> bool:
    """Cancel jobs; tell whether SLURM took the order."""
    return ask("scancel", *(job.id for job in jobs)) is not None


def _parse(line: str) -> QueuedJob:
    number, state, name, elapsed, comment, folder = line.split("|", 5)
    return QueuedJob(
        id=number, state=state, name=name, elapsed=elapsed, comment=comment, folder=Path(folder)
    )
