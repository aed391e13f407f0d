"""What a run needs of this machine and its cluster: found, or what to do about it."""

import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil
from rich.console import Console

from bat.audio.ffmpeg import ffmpeg_binary
from bat.errors import BatError
from bat.site import Site, read_site, site_file
from bat.slurm.queue import JOB_PREFIX, ask, installed, own_jobs
from bat.slurm.runs import living_run

_MINIMUM_PYTHON = (3, 11)
# The default experiment leaves 1.3 GB.
_MINIMUM_DISK_BYTES = 2e9
_MINIMUM_MEMORY_BYTES = 2e9
# The profile asks 20 s after submission, then every 180 s at most; a finished job must be seen.
_MINIMUM_JOB_AGE_S = 200
# To write a checkpoint of a ViT-B to a slow disk.
_MINIMUM_KILL_WAIT_S = 30


class Level(StrEnum):
    """Fine; worth knowing; or in the way of any run."""

    FINE = "ok"
    NOTE = "note"
    STOP = "STOP"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something about this machine, and what to do about it."""

    level: Level
    text: str
    remedy: str = ""


def print_findings() -> None:
    """Print every finding; end with status 1 where one stops a run."""
    findings = list(examine())
    console = Console()
    for finding in findings:
        lines = [f"{finding.level:5} {finding.text}"]
        lines += [f"      -> {finding.remedy}"] if finding.remedy else []
        console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if any(finding.level is Level.STOP for finding in findings):
        raise SystemExit(1)


def examine() -> Iterator[Finding]:
    """Yield the findings of every check, in the order in which things are needed."""
    checks: list[Callable[[], Iterator[Finding]]] = [_python, _torch, _ffmpeg, _machine, _slurm]
    for check in checks:
        yield from check()


def _fine(text: str) -> Finding:
    return Finding(level=Level.FINE, text=text)


def _note(text: str, remedy: str) -> Finding:
    return Finding(level=Level.NOTE, text=text, remedy=remedy)


def _stop(text: str, remedy: str) -> Finding:
    return Finding(level=Level.STOP, text=text, remedy=remedy)


# This machine


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _MINIMUM_PYTHON:
        yield _stop(f"Python {version}", "bat needs 3.11 or newer: make install PYTHON=python3.11")
    else:
        yield _fine(f"Python {version}")


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield _stop(f"torch cannot be imported: {error}", "make install")
        return
    yield _fine(f"torch {torch.__version__}")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
        yield _fine(f"GPUs: {', '.join(names)}")
        if not torch.cuda.is_bf16_supported():
            yield _note("the GPU has no bfloat16", "set compute.training to float32")
    elif shutil.which("nvidia-smi") and torch.version.cuda is None:
        yield _note(
            "there is a GPU, but torch is built for the CPU",
            "install the CUDA build of the same version of torch, see pytorch.org",
        )
    else:
        yield _note(
            "no GPU here", "the default experiment needs none; the paper's is for GPU nodes"
        )


def _ffmpeg() -> Iterator[Finding]:
    try:
        yield _fine(f"ffmpeg: {ffmpeg_binary()}")
    except BatError as error:
        yield _stop(str(error), "make install, which brings imageio-ffmpeg")


def _machine() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.0f} GB free in {Path.cwd()}"
    if free < _MINIMUM_DISK_BYTES:
        yield _stop(text, "free some space, or run with --directory on another disk")
    else:
        yield _fine(f"{text}; bat plan says what an experiment needs")
    memory = psutil.virtual_memory().available
    text = f"{memory / 1e9:.0f} GB of memory available"
    if memory < _MINIMUM_MEMORY_BYTES:
        yield _note(text, "run one job at a time: --cores 1")
    else:
        yield _fine(text)


# The cluster


def _slurm() -> Iterator[Finding]:
    if not installed():
        yield _note("no SLURM here", "run with --cores; --profile slurm is for a login node")
        return
    configuration = ask("scontrol", "show", "config")
    if configuration is None:
        yield _note(
            "SLURM is installed, but its controller does not answer",
            "--profile slurm cannot run, and every start of Snakemake waits for the controller; "
            "ask the cluster's staff",
        )
        return
    settings = dict(re.findall(r"^(\w+) *= (.*?) *$", configuration, re.MULTILINE))
    yield _fine(f"SLURM {settings.get('SLURM_VERSION', '')}")
    yield from _accounting(settings)
    yield from _endings(settings)
    yield from _site()
    yield from _orphans()


def _accounting(settings: dict[str, str]) -> Iterator[Finding]:
    age_s = _seconds(settings.get("MinJobAge", "0"))
    if settings.get("AccountingStorageType", "").endswith("none"):
        if age_s < _MINIMUM_JOB_AGE_S:
            yield _note(
                f"no accounting, and squeue forgets finished jobs after {age_s} s (MinJobAge)",
                "ends of jobs may be missed, and outputs then decide; ask for MinJobAge of "
                f"{_MINIMUM_JOB_AGE_S} s or more",
            )
        else:
            yield _fine("no accounting; squeue is asked for the state of jobs, as the profile says")
    elif ask("sacct", "--noheader", "--allocations") is None:
        yield _note("accounting is configured, but sacct fails", "ask the cluster's staff")
    else:
        yield _fine("accounting answers")


def _endings(settings: dict[str, str]) -> Iterator[Finding]:
    if settings.get("JobRequeue", "1").startswith("0"):
        yield _note(
            "SLURM does not requeue jobs (JobRequeue)",
            "pretraining that reaches its time limit uses Snakemake's retries: raise them in "
            "slurm/config.yaml",
        )
    wait_s = _seconds(settings.get("KillWait", "30"))
    if wait_s < _MINIMUM_KILL_WAIT_S:
        yield _note(
            f"jobs are killed {wait_s} s after SIGTERM (KillWait)",
            "a checkpoint may not be written in time when a job is preempted: up to one interval "
            "of checkpoints is lost then",
        )
    partitions = ask("scontrol", "show", "partition", "--oneliner") or ""
    cancelling = re.findall(r"PartitionName=(\S+).*PreemptMode=CANCEL", partitions)
    if cancelling:
        yield _note(
            f"preempted jobs are cancelled, not requeued, in: {', '.join(cancelling)}",
            "each preemption uses one of Snakemake's retries: raise them in slurm/config.yaml",
        )


def _site() -> Iterator[Finding]:
    path = site_file()
    try:
        site = read_site(path)
    except BatError as error:
        yield _stop(str(error), "slurm/site.example.yaml has every key")
        return
    if not path.is_file():
        yield _note(
            f"no site file {path}: the cluster's default partition and account are used",
            "copy slurm/site.example.yaml and fill it in",
        )
    listed = ask("sinfo", "--noheader", "--format=%R|%l|%G") or ""
    rows = [line.split("|") for line in listed.splitlines()]
    yield from _partitions(site, [row for row in rows if len(row) == 3])


def _partitions(site: Site, rows: list[list[str]]) -> Iterator[Finding]:
    limits = {name: limit for name, limit, _ in rows}
    gpus = {name: gres for name, _, gres in rows if "gpu" in gres}
    for key in ("partition", "gpu_partition"):
        name = getattr(site, key)
        if name is not None and name not in limits:
            yield _note(f"{key} {name}: SLURM knows {', '.join(limits)}", "mend the site file")
        elif name is not None and _minutes(limits[name]) < site.maximum_runtime_min:
            yield _note(
                f"{key} {name} allows {limits[name]}, the site file {site.maximum_runtime_min} min",
                "jobs that ask for more stay in the queue: lower maximum_runtime_min",
            )
    if site.gpu_type is not None and not any(site.gpu_type in gres for gres in gpus.values()):
        found = ", ".join(sorted(set(gpus.values()))) or "none"
        yield _note(f"gpu_type {site.gpu_type}: the GPUs here are {found}", "mend the site file")
    if not gpus:
        yield _note("no partition has GPUs", "slurm/small is the profile without")
    else:
        yield _fine(f"partitions with GPUs: {', '.join(sorted(gpus))}")


def _orphans() -> Iterator[Finding]:
    folders = defaultdict(list)
    for job in own_jobs() or []:
        if job.name.startswith(f"{JOB_PREFIX}_"):
            folders[job.folder].append(job)
    for folder, jobs in folders.items():
        run = living_run(folder)
        text = f"{len(jobs)} jobs of {folder}"
        if run is not None:
            yield _fine(f"{text}, run by {run}")
        else:
            yield _note(
                f"{text}, whose Snakemake is gone: {', '.join(job.id for job in jobs)}",
                "start Snakemake there again, which cancels them first; or scancel "
                + " ".join(job.id for job in jobs),
            )
    if not folders:
        yield _fine("no jobs of an earlier run")


def _seconds(text: str) -> int:
    """Read a number of seconds such as ``300 sec``."""
    number = re.match(r"\d+", text)
    return int(number[0]) if number else 0


def _minutes(limit: str) -> float:
    """Read a time limit of SLURM: ``[days-]hours:minutes:seconds`` or ``infinite``."""
    if not limit[0].isdigit():
        return float("inf")
    days, _, clock = limit.rpartition("-")
    hours, minutes, seconds = ([0, 0, 0] + [int(part) for part in clock.split(":")])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60
