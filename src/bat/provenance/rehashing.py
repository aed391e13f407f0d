"""Hashing many files at the speed of the disk, or of the cores where these are slower."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from bat.progress import ByteProgress

# Larger buffers are no faster, and leave the processor's cache.
_BUFFER_BYTES = 2**20
_SECONDS_BETWEEN_TICKS = 1.0


def usable_cores() -> int:
    """Return the number of cores that this process may use, which a cluster may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sha256_of_files(sizes: Mapping[Path, int], jobs: int) -> dict[Path, str | None]:
    """Hash many files side by side: reading and hashing leave the interpreter to other threads.

    Parameters
    ----------
    sizes
        Expected size of each file in bytes: the largest go first, and it tells how far the work is.
    jobs
        Number of threads.

    Returns
    -------
    dict
        SHA-256 of each file; None where there is none, or where it cannot be read.
    """
    with ByteProgress("rehashing", len(sizes), sum(sizes.values())) as progress:
        hashing = _Hashing(sizes, progress)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                working = {pool.submit(hashing.work) for _ in range(jobs)}
                while working:
                    done, working = wait(working, _SECONDS_BETWEEN_TICKS, FIRST_COMPLETED)
                    for thread in done:
                        thread.result()
                    progress.tick()
            finally:
                hashing.stop.set()
    return hashing.found


class _Hashing:
    """Files that wait for a thread, and the hashes of the others."""

    def __init__(self, sizes: Mapping[Path, int], progress: ByteProgress) -> None:
        self._waiting = deque(sorted(sizes, key=sizes.__getitem__, reverse=True))
        self._progress = progress
        self.found: dict[Path, str | None] = {}
        self.stop = threading.Event()

    def work(self) -> None:
        """Hash files until none waits, all through one buffer."""
        buffer = bytearray(_BUFFER_BYTES)
        while self._waiting and not self.stop.is_set():
            try:
                path = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                self.found[path] = self._sha256(path, buffer)
            except OSError:
                self.found[path] = None
            self._progress.file_done()

    def _sha256(self, path: Path, buffer: bytearray) -> str:
        content, sha256 = memoryview(buffer), hashlib.sha256()
        file = os.open(path, os.O_RDONLY)
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)  # reads further ahead
            while (count := os.readv(file, [buffer])) and not self.stop.is_set():
                sha256.update(content[:count])
                self._progress.add(count)
        finally:
            os.close(file)
        return sha256.hexdigest()
