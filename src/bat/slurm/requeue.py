"""A job that saved its state and asks to be run again."""

import logging
import os

from bat.slurm.queue import ask
from bat.slurm.runs import superseded

_LOG = logging.getLogger(__name__)


def ask_to_be_run_again() -> bool:
    """Have SLURM put the job that this process belongs to back into its queue.

    It keeps its number, so that Snakemake goes on waiting for it. Only a job that runs is put back:
    one that ends already, because it was cancelled or preempted or its time is over, is left to
    whoever ended it. Of several ranks of one training the first asks.

    Returns
    -------
    bool
        Whether SLURM took the order; it then ends this job's processes. Otherwise Snakemake sees a
        job that failed, and submits it again as often as ``retries`` allows.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("RANK", "0") != "0" or superseded():
        return False
    state = ask("squeue", "--noheader", f"--jobs={job}", "--format=%T")
    if state is None or state.strip() != "RUNNING":
        return False
    if ask("scontrol", "requeue", job) is None:
        _LOG.warning("SLURM does not requeue job %s: see JobRequeue in scontrol show config", job)
        return False
    _LOG.info("the state is saved; SLURM runs job %s again", job)
    return True
