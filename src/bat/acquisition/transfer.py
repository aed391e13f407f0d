"""Fetch one published file: whatever the connection does, the whole of it or a clear complaint.

What came so far is kept and continued. A try that brings something is followed by another at once;
tries in a row that bring nothing wait longer and longer, and then the next address has its turn.
Messages hold no text of a server's or a library's making, in which an address with its credentials
may be quoted.
"""

import errno
import logging
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from bat.acquisition.answers import (
    FruitlessError,
    InterruptionError,
    RefusalError,
    SetbackError,
    ask,
    body_of,
    check_status,
    content_range,
    origin_of,
    total_of,
)
from bat.acquisition.network import Network, public
from bat.acquisition.part import (
    Digests,
    Origin,
    Part,
    digests_of_file,
    note_of,
    read_receipt,
    receipt_of,
)
from bat.acquisition.remote import RemoteFile
from bat.errors import BatError

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 2**18
# A connection that is cut again and again may bring little each time, but not for ever.
_INTERRUPTIONS_AT_MOST = 1000
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that is there, whole.

    Attributes
    ----------
    path : Path
    bytes : int
    sha256, md5 : str
        Of the bytes on disk, in lower-case hexadecimal.
    url : str
        Where they were published, without credentials and whatever the mirror; "" for a file that
        was there already and has no receipt.
    attempts : int
        Requests that it took; 0 for a file that was there already.
    """

    path: Path
    bytes: int
    sha256: str
    md5: str
    url: str
    attempts: int

    def discard(self) -> None:
        """Delete the file, which is not needed any more, and its receipt."""
        self.path.unlink(missing_ok=True)
        receipt_of(self.path).unlink(missing_ok=True)


class StoppedError(Exception):
    """The download was asked to stop; what came so far is kept."""


def fetch(
    file: RemoteFile,
    folder: Path,
    network: Network,
    *,
    session: requests.Session | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Fetched:
    """Fetch a file into a folder, or verify that it is there.

    Parameters
    ----------
    file : RemoteFile
    folder : Path
        The file becomes ``folder / file.name``. Beside it come a receipt
        (``<name>.receipt.json``) and, meanwhile, what came so far (``<name>.part``).
    network : Network
    session : requests.Session, optional
        One of ``network.session()``, to use its connections again.
    on_bytes
        Told how many more bytes are there; a negative number where some are thrown away.
    stop : threading.Event, optional
        Set by another thread to end the download, whose part is kept.

    Raises
    ------
    BatError
        If no address gives the file, with what each said; if its size or checksum is another than
        published (the wrong bytes are kept as ``<name>.bad-<sha256>``); if the disk is full; if it
        is missing offline; if another process is downloading it.
    StoppedError
        If `stop` was set.
    """
    target = _target(file, folder)
    with _disk_full_is_a_complaint(target):
        present = _already_there(file, target, network)
        if present is not None:
            on_bytes(present.bytes)
            return present
        if network.offline and network.folder is None:
            raise BatError(
                f"{target}: missing, and nothing is downloaded offline; "
                "put the file there or go online"
            )
        stop = stop or threading.Event()
        with _opened(session, network) as opened, Part(target) as part:
            return _Transfer(file, target, part, network, opened, on_bytes, stop).run()


def _target(file: RemoteFile, folder: Path) -> Path:
    name = PurePosixPath(file.name)
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise BatError(f"{file.name!r}: expected a relative path without '..'")
    return folder / name


@contextmanager
def _opened(session: requests.Session | None, network: Network) -> Iterator[requests.Session]:
    """Lend the given session, or one that is closed afterwards."""
    if session is not None:
        yield session
        return
    with network.session() as own:
        yield own


@contextmanager
def _disk_full_is_a_complaint(target: Path) -> Iterator[None]:
    """Complain in one line where even a small record finds no space."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise BatError(f"{target}: the disk is full; free some space and run again") from error


# --- a file that is there already ---------------------------------------------------------------


def _already_there(file: RemoteFile, target: Path, network: Network) -> Fetched | None:
    """Verify the file under its final name; what is wrong with it moves it aside.

    Only a whole file gets its final name here, so one of which nothing is published and which has
    no receipt (the user put it there) is taken as it is.
    """
    if not target.is_file():
        return None
    found, receipt = digests_of_file(target), read_receipt(target)
    wrong = _what_is_wrong(file, found)
    proven = file.sha256 is not None or file.md5 is not None
    if wrong is None and not proven and receipt is not None and receipt.sha256 != found.sha256:
        wrong = f"expected sha256 {receipt.sha256} as when it was fetched, found {found.sha256}"
    if wrong is None:
        note_of(target).unlink(missing_ok=True)
        url = receipt.url if receipt and receipt.sha256 == found.sha256 else ""
        return _fetched(target, found, url=url, attempts=0)
    if network.offline and network.folder is None:
        raise BatError(f"{target}: {wrong}; go online to download it again")
    aside = _bad_name(target, found)
    target.replace(aside)
    _LOG.warning("%s: %s; kept as %s", target, wrong, aside.name)
    return None


def _what_is_wrong(file: RemoteFile, found: Digests) -> str | None:
    """Say how a file differs from what is published of it."""
    for quantity in ("sha256", "md5", "bytes"):
        expected = getattr(file, quantity)
        if expected is not None and expected != getattr(found, quantity):
            return f"expected {quantity} {expected}, found {getattr(found, quantity)}"
    return None


def _bad_name(target: Path, found: Digests) -> Path:
    return target.with_name(f"{target.name}.bad-{found.sha256[:12]}")


def _fetched(target: Path, found: Digests, *, url: str, attempts: int) -> Fetched:
    return Fetched(
        path=target,
        bytes=found.bytes,
        sha256=found.sha256,
        md5=found.md5,
        url=url,
        attempts=attempts,
    )


# --- a download ---------------------------------------------------------------------------------


class _Transfer:
    """The work on one file."""

    def __init__(
        self,
        file: RemoteFile,
        target: Path,
        part: Part,
        network: Network,
        session: requests.Session,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        self._file = file
        self._target = target
        self._part = part
        self._network = network
        self._session = session
        self._on_bytes = on_bytes
        self._stop = stop
        self._attempts = 0
        self._ranges = True
        self._best = self._restarts = 0
        self._backoff = wait_random_exponential(
            multiplier=network.backoff_s, max=network.maximum_wait_s
        )

    def run(self) -> Fetched:
        """Ask one address after the other."""
        self._on_bytes(self._part.size)
        complaints = []
        for url in self._file.urls:
            try:
                self._from_address(url)
            except SetbackError as setback:
                complaints.append(f"{public(url)}: {setback}")
                _LOG.warning("%s: %s", self._file.name, complaints[-1])
            else:
                found = self._part.publish()
                return _fetched(self._target, found, url=found.url, attempts=self._attempts)
        raise BatError(f"{self._target}: not fetched; " + "; ".join(complaints))

    def _from_address(self, url: str) -> None:
        """Bring the whole file into the part; one of wrong bytes is fetched once more."""
        self._persist(url)
        wrong = self._set_aside_if_wrong()
        if wrong is not None:
            _LOG.warning("%s: %s; downloading it once more", self._file.name, wrong)
            self._persist(url)
            wrong = self._set_aside_if_wrong()
        if wrong is not None:
            raise RefusalError(wrong)

    def _set_aside_if_wrong(self) -> str | None:
        found = self._part.digests()
        wrong = _what_is_wrong(self._file, found)
        if wrong is None:
            return None
        aside = _bad_name(self._target, found)
        self._part.set_aside(aside)
        self._on_bytes(-found.bytes)
        return f"{wrong}; kept as {aside}"

    def _persist(self, url: str) -> None:
        """Try as long as something comes, and some times more."""
        self._ranges = True
        self._restarts, self._best = 0, self._part.size
        retrying = Retrying(
            retry=retry_if_exception_type(FruitlessError),
            stop=stop_after_attempt(self._network.tries),
            wait=self._wait_s,
            sleep=self._pause,
            before_sleep=self._say,
            reraise=True,
        )
        for _ in range(_INTERRUPTIONS_AT_MOST):
            try:
                return retrying(self._attempt, url)
            except InterruptionError as interruption:
                reason = str(interruption)
                _LOG.info("%s: %s; going on", self._file.name, reason)
            self._pause(random.uniform(0, self._network.backoff_s))
        raise RefusalError(f"{reason}, for the {_INTERRUPTIONS_AT_MOST}th time")

    def _wait_s(self, state: RetryCallState) -> float:
        asked = _setback_of(state).wait_s
        return self._backoff(state) if asked is None else min(asked, self._network.maximum_wait_s)

    def _say(self, state: RetryCallState) -> None:
        wait_s = state.next_action.sleep if state.next_action else 0.0
        _LOG.info("%s: %s; again in %.1f s", self._file.name, _setback_of(state), wait_s)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError

    # --- one attempt ---

    def _attempt(self, url: str) -> None:
        """Ask once; return when every byte is there."""
        self._check_stop()
        try:
            if not self._is_whole():
                self._attempts += 1
                self._ask(url)
        except FruitlessError as setback:
            if self._part.size <= self._best:
                raise
            self._best = self._part.size
            raise InterruptionError(str(setback)) from None

    def _ask(self, url: str) -> None:
        location = self._network.locate(url)
        if isinstance(location, Path):
            self._copy(location, url)
            return
        resumes = self._may_resume(url)
        headers = self._range(url) if resumes else {}
        with ask(self._session, location, headers, self._network.timeout_s) as response:
            check_status(response, url)
            status = response.status_code
            if status == HTTPStatus.PARTIAL_CONTENT and resumes:
                self._continue(response, url)
            elif status == HTTPStatus.OK:
                self._begin(origin_of(response, url, total_of(response)))
            else:
                self._ranges = False
                raise FruitlessError("the server does not continue a file")
            self._receive(body_of(response))

    def _copy(self, source: Path, url: str) -> None:
        """Take the file of a mirror that is a folder."""
        if not source.is_file():
            raise RefusalError(f"the mirror has no file {source}")
        total = source.stat().st_size
        if self._file.bytes not in (None, total):
            raise RefusalError(f"{source}: expected {self._file.bytes} bytes, found {total}")
        self._restart(Origin(url=public(url), total=total))
        with source.open("rb") as stream:
            self._receive(iter(lambda: stream.read(_CHUNK_BYTES), b""))

    # --- continuing, or starting anew ---

    def _may_resume(self, url: str) -> bool:
        """Tell whether the rest of the file can be asked for and its belonging be proven."""
        origin = self._part.origin
        if not self._ranges or not self._part.size or origin is None:
            return False
        if origin.url == public(url) and origin.validator is not None:
            return True
        proven = self._file.sha256 is not None or self._file.md5 is not None
        return proven and origin.total is not None

    def _range(self, url: str) -> dict[str, str]:
        headers = {"Range": f"bytes={self._part.size}-"}
        origin = self._part.origin
        if origin and origin.url == public(url) and origin.validator is not None:
            headers["If-Range"] = origin.validator
        return headers

    def _continue(self, response: requests.Response, url: str) -> None:
        """Check that the rest of the file belongs to what is there."""
        start, total = content_range(response)
        if start != self._part.size:
            self._ranges = False
            raise FruitlessError("the server does not continue a file as it was asked to")
        origin = origin_of(response, url, total)
        if self._part.origin is None or not self._part.origin.continued_by(origin):
            self._restart(origin)
            raise FruitlessError("the file changed on the server; starting anew")
        self._check_space()

    def _begin(self, origin: Origin) -> None:
        """Expect the whole file."""
        if None not in (origin.total, self._file.bytes) and origin.total != self._file.bytes:
            raise FruitlessError(f"expected {self._file.bytes} bytes, found {origin.total}")
        if self._part.size:
            changed = self._part.origin is None or not self._part.origin.continued_by(origin)
            why = "the file changed on the server" if changed else "the rest alone is not to be had"
            _LOG.info("%s: %s; starting anew", self._file.name, why)
        self._restart(origin)

    def _restart(self, origin: Origin) -> None:
        """Begin again. What comes then is progress, but not for ever: a server may never end."""
        if self._part.size:
            self._restarts += 1
        if self._restarts <= self._network.tries:
            self._best = 0
        self._on_bytes(-self._part.size)
        self._part.restart(origin)
        self._check_space()

    # --- receiving ---

    def _total(self) -> int | None:
        """Size of the whole file, where anybody said."""
        origin = self._part.origin
        return self._file.bytes if origin is None or origin.total is None else origin.total

    def _is_whole(self) -> bool:
        """Tell whether every byte is there already, as after a kill in the last moment."""
        return self._part.origin is not None and self._part.size == self._total()

    def _receive(self, chunks: Iterator[bytes]) -> None:
        total = self._total()
        for chunk in chunks:
            self._check_stop()
            if total is not None and self._part.size + len(chunk) > total:
                self._restart(Origin(url=""))
                raise FruitlessError(f"expected {total} bytes, found more")
            self._append(chunk)
        if total is not None and self._part.size < total:
            raise FruitlessError(f"the body ended after {self._part.size} of {total} bytes")

    def _append(self, chunk: bytes) -> None:
        try:
            self._part.append(chunk)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise self._disk_full(at_least=len(chunk)) from error
        self._on_bytes(len(chunk))

    def _check_space(self) -> None:
        total = self._total()
        if total is not None and total - self._part.size > self._free():
            raise self._disk_full()

    def _disk_full(self, at_least: int = 1) -> BatError:
        total = self._total()
        missing = 0 if total is None else total - self._part.size - self._free()
        about = "at least " if total is None else ""
        return BatError(
            f"{self._target}: the disk is full; {about}{max(missing, at_least)} more bytes are "
            "needed; what came so far is kept"
        )

    def _free(self) -> int:
        return shutil.disk_usage(self._target.parent).free


def _setback_of(state: RetryCallState) -> SetbackError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, SetbackError) else FruitlessError(str(error))
