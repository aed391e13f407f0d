"""Processes that other processes must tell apart: alive, gone, or on another machine."""

import platform
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def this_machine() -> str:
    """Name what process ids are unique in: a host since its start, and a container on it."""
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else str(psutil.boot_time())
    namespace = _NAMESPACE.readlink() if _NAMESPACE.is_symlink() else ""
    return f"{platform.node()} {boot} {namespace}".strip()


def started_s(process: int) -> float | None:
    """Return when a process of this machine started, in seconds since 1970; None if it is gone."""
    try:
        found = psutil.Process(process)
        return None if found.status() == psutil.STATUS_ZOMBIE else found.create_time()
    except psutil.Error:
        return None


def lives(process: int, since_s: float) -> bool:
    """Tell whether a process of this machine is still the one that started at ``since_s``."""
    started = started_s(process)
    # the clock may have been set meanwhile; a number is not given away again within a second
    return started is not None and abs(started - since_s) < 1.0
