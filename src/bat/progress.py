"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sized
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bat.runtime import DIE_WITH_PARENT

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0
_UNITS = ("B", "kB", "MB", "GB", "TB")
T = TypeVar("T")


def track(
    items: Iterable[T],
    description: str,
    total: int | None = None,
    *,
    done: int = 0,
    detail: Callable[[], str] | None = None,
) -> Generator[T, None, None]:
    """Yield ``items`` and show how far along they are.

    Parameters
    ----------
    items
        What to iterate over.
    description
        A few words on the work.
    total
        Number of items, where ``items`` does not know it itself, with those done before.
    done
        How many were done before, by an earlier run.
    detail
        Returns a few words that are shown beside the position.
    """
    tell = detail or str
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _shows_bars():
        yield from _bar(items, description, total, done, tell)
    else:
        yield from _lines(items, description, total, done, tell)


class ByteProgress:
    """Progress of downloads, which several threads report: bytes, their rate, files done.

    A context manager. Whoever waits for the downloads calls `tick` now and then, for the lines of
    a log.

    Parameters
    ----------
    description
        A few words on the work.
    files
        Number of files.
    total_bytes
        Their size together, where it is known.
    """

    def __init__(self, description: str, files: int, total_bytes: int | None) -> None:
        self._description = description
        self._files = files
        self._total_bytes = total_bytes
        self._lock = threading.Lock()
        self._done_files = self._done_bytes = self._shown_bytes = 0
        self._shown = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if _shows_bars():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title(), total=self._total_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, count: int) -> None:
        """Count so many more bytes; fewer, where some were thrown away."""
        with self._lock:
            self._done_bytes += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done_bytes)

    def file_done(self) -> None:
        """Count a whole file."""
        with self._lock:
            self._done_files += 1
            if self._bar is not None:
                self._bar.update(self._task, description=self._title())

    def tick(self) -> None:
        """Write a line to the log, if there is no bar and the last line is long ago."""
        now = time.monotonic()
        if self._bar is not None or now - self._shown < _SECONDS_BETWEEN_LINES:
            return
        rate = max(0.0, (self._done_bytes - self._shown_bytes) / (now - self._shown))
        self._shown, self._shown_bytes = now, self._done_bytes
        _LOG.info("%s: %s", self._title(), _flow(self._done_bytes, self._total_bytes, rate))

    def _title(self) -> str:
        return f"{self._description}, {self._done_files}/{self._files} files"


def _shows_bars() -> bool:
    # Jobs of a workflow share one terminal: two bars would overwrite each other.
    return sys.stderr.isatty() and DIE_WITH_PARENT not in os.environ


def _flow(done_bytes: int, total_bytes: int | None, bytes_per_s: float) -> str:
    """Say how far a download is: "12.0 of 30.0 MB (40%), 1.5 MB/s, about 12 s left"."""
    rate = f"{bytes_per_s / 1e6:.1f} MB/s"
    if not total_bytes:
        return f"{done_bytes / 1e6:.1f} MB, {rate}"
    share = f"{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB ({done_bytes / total_bytes:.0%})"
    if not bytes_per_s:
        return f"{share}, {rate}"
    return f"{share}, {rate}, about {(total_bytes - done_bytes) / bytes_per_s:.0f} s left"


def _bar(
    items: Iterable[T], description: str, total: int | None, done: int, detail: Callable[[], str]
) -> Generator[T, None, None]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done, detail="")
        for item in items:
            yield item
            progress.update(task, advance=1, detail=detail())


def _lines(
    items: Iterable[T], description: str, total: int | None, done: int, detail: Callable[[], str]
) -> Generator[T, None, None]:
    started = shown = time.monotonic()
    for now_done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            position = _position(now_done, done, total, now - started)
            _LOG.info("%s: %s", description, ", ".join(filter(None, [position, detail()])))


def _position(now_done: int, before: int, total: int | None, elapsed_s: float) -> str:
    done = before + now_done
    if not total:
        return f"{done} done"
    left_s = elapsed_s / now_done * (total - done)
    return f"{done}/{total} ({done / total:.0%}), about {left_s:.0f} s left"


def readable_bytes(size: int | None) -> str:
    """Write a size in decimal units, as publishers do: 2.43 GB."""
    if size is None:
        return "not known"
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{size} B" if unit == _UNITS[0] else f"{value:.3g} {unit}"
