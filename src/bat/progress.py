"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bat.runtime import DIE_WITH_PARENT

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` and show how far along they are.

    Parameters
    ----------
    items
        What to iterate over.
    description
        A few words on the work.
    total
        Number of items, where ``items`` does not know it itself.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    # Jobs of a workflow share one terminal: two bars would overwrite each other.
    if sys.stderr.isatty() and DIE_WITH_PARENT not in os.environ:
        yield from _bar(items, description, total)
    else:
        yield from _lines(items, description, total)


def _bar(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=description)


def _lines(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    started = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            _LOG.info("%s: %s", description, _position(done, total, now - started))


def _position(done: int, total: int | None, elapsed_s: float) -> str:
    if not total:
        return f"{done} done"
    left_s = elapsed_s / done * (total - done)
    return f"{done}/{total} ({done / total:.0%}), about {left_s:.0f} s left"
