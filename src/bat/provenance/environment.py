"""Where and when a job ran: the volatile half of its record."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bat.provenance.hashing import sha256_of_file

_REPOSITORY = Path(__file__).resolve().parents[3]
_LOCK = _REPOSITORY / "requirements.lock"
_NUMERICAL_PACKAGES = (
    "torch", "torchaudio", "timm", "numpy", "scikit-learn", "polars", "safetensors", "snakemake",
)  # fmt: skip


@cache
def environment_lock() -> str:
    """SHA-256 of the lock file that the project installs from, or ``absent``."""
    return sha256_of_file(_LOCK) if _LOCK.is_file() else "absent"


class RunClock:
    """Times one job and describes the machine that ran it."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._monotonic = time.monotonic()

    def log(self, recipe_id: str) -> dict[str, Any]:
        """Return the run log of a job that ends now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Linux counts kibibytes, macOS bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        # a clock may be set back meanwhile
        finished = max(self._started, datetime.now(UTC))
        return {
            "recipe": recipe_id,
            "started": self._started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "wall_s": round(time.monotonic() - self._monotonic, 3),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_memory_bytes": usage.ru_maxrss * unit,
            "peak_memory_children_bytes": children.ru_maxrss * unit,
            **_machine(),
            "git": git_state(),
            "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
            "packages": _packages(),
        }


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "gpu": _gpu(),
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _gpu() -> str | None:
    """Name of the GPU, where the job loaded torch and torch sees one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def git_state() -> dict[str, Any]:
    """Commit of the code and whether the tree differs from it (None outside a repository)."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_REPOSITORY), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _packages() -> dict[str, str]:
    versions = {}
    for name in _NUMERICAL_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
