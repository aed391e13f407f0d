"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sized
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
    # Jobs of a workflow share one terminal: two bars would overwrite each other.
    if sys.stderr.isatty() and DIE_WITH_PARENT not in os.environ:
        yield from _bar(items, description, total, done, tell)
    else:
        yield from _lines(items, description, total, done, tell)


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
