"""Fetch many files: a few at a time, in order, and never more of them on disk than agreed.

Whoever takes the files may delete each one when done with it. So a data set of a terabyte passes
through a scratch folder of a few files.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

import requests

from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.acquisition.transfer import Fetched, StoppedError, fetch
from bat.errors import BatError
from bat.progress import ByteProgress

_TICK_S = 0.5
# For how long to wait for threads that were told to stop. One that waits for a server is left
# alone: it writes nothing any more, and ends with its time-out or the process.
_FAREWELL_S = 1.0


def fetch_all(
    files: Sequence[RemoteFile], folder: Path, network: Network, *, ahead: int | None = None
) -> Iterator[Fetched]:
    """Fetch files and yield them in their order, each as soon as its turn has come.

    Parameters
    ----------
    files : sequence of RemoteFile
    folder : Path
        See `bat.acquisition.transfer.fetch`.
    network : Network
        As many downloads run at a time as it has connections.
    ahead : int, optional
        So many files are on disk at most: downloading, waiting for their turn, or in the hands of
        the caller. Asking for the next file gives back the last one's place. No limit by default.

    Yields
    ------
    Fetched

    Raises
    ------
    BatError
        The first that a download raises; the other downloads are stopped, and what they have stays
        for the next time.
    """
    if ahead is not None and ahead < 1:
        raise ValueError(f"ahead: expected at least 1, found {ahead}")
    total = _sum(file.bytes for file in files)
    with (
        ByteProgress("downloading", len(files), total) as progress,
        _Crew(files, folder, network, progress) as crew,
    ):
        for position in range(len(files) if ahead is None else min(ahead, len(files))):
            crew.start(position)
        for position in range(len(files)):
            yield crew.wait_for(position)
            if ahead is not None and position + ahead < len(files):
                crew.start(position + ahead)


def peak_scratch_bytes(files: Sequence[RemoteFile], ahead: int | None = None) -> int | None:
    """Return how much of the files lies on disk at most while `fetch_all` hands them out.

    Parameters
    ----------
    files : sequence of RemoteFile
    ahead : int, optional
        As of `fetch_all`.

    Returns
    -------
    int or None
        Bytes of the largest `ahead` files in a row; None if a size is not known.
    """
    sizes = [file.bytes for file in files]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    width = len(known) if ahead is None else ahead
    return max((sum(known[at : at + width]) for at in range(len(known))), default=0)


class _Crew:
    """Threads that download, and what they bring."""

    def __init__(
        self, files: Sequence[RemoteFile], folder: Path, network: Network, progress: ByteProgress
    ) -> None:
        self._files = files
        self._folder = folder
        self._network = network
        self._progress = progress
        self._stop = threading.Event()
        self._orders: SimpleQueue[int | None] = SimpleQueue()
        self._brought: SimpleQueue[tuple[int, Fetched | Exception]] = SimpleQueue()
        self._here: dict[int, Fetched] = {}
        # Daemons: nothing waits for them when the process ends. What they leave can be continued.
        self._threads = [
            threading.Thread(target=self._work, name=f"download-{number}", daemon=True)
            for number in range(min(network.connections, len(files)))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for _thread in self._threads:
            self._orders.put(None)
        deadline = time.monotonic() + _FAREWELL_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def start(self, position: int) -> None:
        """Let a file be downloaded when a connection is free."""
        self._orders.put(position)

    def wait_for(self, position: int) -> Fetched:
        """Return a file when it is there; raise whatever went wrong with any."""
        while position not in self._here:
            self._progress.tick()
            try:
                number, brought = self._brought.get(timeout=_TICK_S)
            except Empty:
                continue
            if isinstance(brought, Exception):
                raise brought
            self._here[number] = brought
            self._progress.file_done()
        return self._here.pop(position)

    def _work(self) -> None:
        with self._network.session() as session:
            while (position := self._orders.get()) is not None and not self._stop.is_set():
                self._fetch(position, session)

    def _fetch(self, position: int, session: requests.Session) -> None:
        name = self._files[position].name
        outcome: Fetched | Exception = RuntimeError(f"{name}: the download broke down; see above")
        try:
            outcome = fetch(
                self._files[position],
                self._folder,
                self._network,
                session=session,
                on_bytes=self._progress.add,
                stop=self._stop,
            )
        except (BatError, OSError, StoppedError) as error:
            outcome = error
        finally:
            self._brought.put((position, outcome))


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)
