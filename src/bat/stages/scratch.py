"""Where a stage keeps work that must outlive an interruption.

What a job writes to its own folder is thrown away when it fails. A download of days is not; it
lies in a scratch folder until the result was published.
"""

import logging
import os
import shutil
from pathlib import Path

from bat.provenance.job import Job

SCRATCH = "BAT_SCRATCH"
_LOG = logging.getLogger(__name__)


def scratch_of(job: Job) -> Path:
    """Return the folder of a job's unfinished work; the same job finds it again.

    It belongs to all that determines the job's outputs: another mirror or another decoder begins
    anew, and the log says where the work of the former lies.
    """
    what = "-".join([job.stage, *job.selection.values()])
    parent = _root() / what
    folder = parent / job.identity[:16]
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted(other.name for other in parent.iterdir() if other != folder)
    if others:
        _LOG.warning(
            "%s: unfinished work of other settings or code: %s; remove what is not needed",
            parent,
            ", ".join(others),
        )
    return folder


def discard_scratch(job: Job) -> None:
    """Remove the unfinished work of a job, which is finished now."""
    folder = scratch_of(job)
    shutil.rmtree(folder, ignore_errors=True)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _root() -> Path:
    return Path(os.environ.get(SCRATCH, "data/scratch"))


def hand_over(file: Path, target: Path) -> None:
    """Give a finished file a place among a job's outputs, without a copy where that can be."""
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, target)
