"""A process inside a job of SLURM: whose it is, how often it was started, whom signals reach."""

import os

from bat.slurm.runs import stop_if_superseded
from bat.slurm.signals import pass_signals_on

_RESTARTS = "BAT_SLURM_RESTARTS"


def enter_job() -> None:
    """Prepare a Snakemake that runs inside a job, before it touches anything.

    Raises
    ------
    BatError
        Where the job belongs to a run that another has taken over from.
    """
    stop_if_superseded()
    # Snakemake's plugin hands on the number of the job, but not how often SLURM started it.
    if restarts := os.environ.get("SLURM_RESTART_COUNT"):
        os.environ[_RESTARTS] = restarts
    pass_signals_on()


def job_number() -> str | None:
    """Return SLURM's number of the job that this process belongs to."""
    return os.environ.get("SLURM_JOB_ID")


def restarts() -> int:
    """Return how often SLURM has started this job again, after requeueing it."""
    return int(os.environ.get(_RESTARTS, "0"))
