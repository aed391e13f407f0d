"""The bytes of a file that have come so far: on disk beside where the file will be, with a note.

A process may be killed at any moment. The order of things keeps what is on disk true: a part is
emptied before its note changes, and the note is there before the first byte is; the finished file
gets its receipt before its name.
"""

import fcntl
import hashlib
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from bat.durable import flush
from bat.errors import BatError
from bat.provenance.hashing import canonical_json

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a server said of the bytes that it began to send.

    Attributes
    ----------
    url : str
        The address, without credentials.
    etag, modified : str or None
        Its ``ETag`` and ``Last-Modified``.
    total : int or None
        Size of the whole file in bytes.
    """

    url: str
    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """What proves to the server that the rest still belongs to the bytes already here.

        A weak ETag stands for similar content, not for the same bytes, so it proves nothing.
        """
        if self.etag is not None:
            return None if self.etag.startswith("W/") else self.etag
        return self.modified

    def continued_by(self, other: Self) -> bool:
        """Tell whether the rest, of which a server says `other`, belongs to these bytes.

        Without a validator, or from another address, only the total length speaks for it; a
        checksum must then prove the result.
        """
        if self.url != other.url or self.validator is None:
            agreed = self.total is not None and self.total == other.total
            return agreed and (self.url != other.url or _agree(self.etag, other.etag))
        same = (
            _agree(self.etag, other.etag)
            if self.etag and other.etag
            else _agree(self.modified, other.modified)
        )
        return same and _agree(self.total, other.total)


@dataclass(frozen=True, kw_only=True)
class Digests:
    """Size and checksums of a file, as its receipt holds them, and where it came from."""

    bytes: int
    sha256: str
    md5: str
    url: str = ""


Record = TypeVar("Record", Origin, Digests)


class Part:
    """A file that is being written under another name, ``<name>.part``.

    Attributes
    ----------
    path : Path
    size : int
        Bytes that are there.
    origin : Origin or None
        Where they are from; None where nobody knows, and they must not be continued.

    Raises
    ------
    BatError
        If another process is writing it.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = note_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        try:
            self.origin = _read(self._note, Origin)
            self._hash_what_is_there()
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size == 0 and _same_file(self._handle, self.path):
            self.path.unlink()
            self._note.unlink(missing_ok=True)
        os.close(self._handle)

    def restart(self, origin: Origin) -> None:
        """Throw away what is there and expect the bytes of another origin."""
        os.ftruncate(self._handle, 0)
        os.fsync(self._handle)
        self._hash_what_is_there()
        self.origin = origin
        _write(self._note, asdict(origin))

    def append(self, chunk: bytes) -> None:
        """Write the next bytes."""
        written = 0
        while written < len(chunk):
            written += os.write(self._handle, chunk[written:])
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)

    def digests(self) -> Digests:
        """Return size and checksums of the bytes that are there."""
        return Digests(
            bytes=self.size,
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            url=self.origin.url if self.origin else "",
        )

    def set_aside(self, path: Path) -> None:
        """Move what is there to another path, and begin an empty part."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)
        os.close(self._handle)
        self._open()
        self.origin = None
        self._hash_what_is_there()

    def publish(self) -> Digests:
        """Give the finished file its name; it is on disk when this returns."""
        os.fsync(self._handle)
        digests = self.digests()
        _write(receipt_of(self._target), asdict(digests))
        self.path.replace(self._target)
        flush(self._target.parent)
        self._note.unlink(missing_ok=True)
        return digests

    def _open(self) -> None:
        """Open the part for this process alone, at its end."""
        while True:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            _lock(self._handle, self._target)
            # Whoever held the lock before may have given the file its final name.
            if _same_file(self._handle, self.path):
                return
            os.close(self._handle)

    def _hash_what_is_there(self) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        while chunk := os.pread(self._handle, _CHUNK_BYTES, self.size):
            self._sha256.update(chunk)
            self._md5.update(chunk)
            self.size += len(chunk)


def digests_of_file(path: Path) -> Digests:
    """Hash a file that is there."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Digests(bytes=size, sha256=sha256.hexdigest(), md5=md5.hexdigest())


def note_of(target: Path) -> Path:
    """Return where the note on a file's part lies; without the part it means nothing."""
    return target.with_name(f"{target.name}.part.json")


def receipt_of(path: Path) -> Path:
    """Return where the receipt of a fetched file lies."""
    return path.with_name(f"{path.name}.receipt.json")


def read_receipt(path: Path) -> Digests | None:
    """Return what the receipt of a fetched file says; None without a readable one."""
    return _read(receipt_of(path), Digests)


def _agree(first: object, second: object) -> bool:
    return first is None or second is None or first == second


def _read(path: Path, kind: type[Record]) -> Record | None:
    """Read a small record; None if there is none that can be read."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write a small record, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(canonical_json(value))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


def _lock(handle: int, target: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BatError(
            f"{target}: another process is downloading it; wait until it is done, or stop it"
        ) from None
    except OSError:
        # Some network file systems have no locks.
        _LOG.info("%s: the disk has no locks; let only one process download it", target)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
