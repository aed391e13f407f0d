"""Read the files in an archive one after the other, without trusting it.

A mirror of a large data set comes in shards: zip or tar archives, or Parquet tables whose rows
carry recordings. Each member is read wholly into memory, used and forgotten; nothing is unpacked
to disk. Errors name a member by its position, never by its name.

How far the content of a member is vouched for depends on the format. A zip archive has a checksum
for each member. A compressed tar archive has checksums for stretches of it, or one at its very
end, so its members are confirmed only when the iteration has ended without an error. A plain tar
archive has checksums of its headers alone, and a Parquet table mostly none: there, only the
checksum of the whole file tells. It should be checked before a table is read, since polars may end
the process over one that was damaged on purpose.
"""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, Any

import polars as pl

from bat.data.archive import (
    DAMAGE,
    Contents,
    Limits,
    check_expansion,
    check_member_bytes,
    check_name,
    checked_zip,
)
from bat.data.sources import is_hidden
from bat.errors import BatError

# A shard may be of a hundred gigabytes and does no harm, one member at a time; a bomb shows in the
# ratio.
_STREAM_LIMITS = Limits(max_total_bytes=4 * 2**40)

_TAR_DAMAGE = (*DAMAGE, tarfile.TarError)
# Polars panics at some damaged tables, and a panic is no Exception.
_PARQUET_DAMAGE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)

_TAR_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
# What one header and the long name or extended header before it may take; tarfile, which reads them
# wholly into memory, would take more.
_MAX_HEADER_BYTES = 2**20
_HEADER_BYTES = 512
_BLOCK_BYTES = 2**16

# Rows of a Parquet table at a time: ten seconds of sound are a megabyte or so. Polars decodes the
# row groups that they lie in, which are of a hundred rows where the Hub's own tools wrote them.
_ROWS_AT_A_TIME = 16
_AUDIO = pl.Struct({"bytes": pl.Binary, "path": pl.String})


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive.

    Attributes
    ----------
    name : str
        Relative path with forward slashes, without "..".
    content : bytes
    problem : str or None
        Why the member could not be read although the archive as such is fine. The content is
        empty then.
    """

    name: str
    content: bytes
    problem: str | None = None


def stream_members(
    path: Path, contents: Contents, *, limits: Limits | None = None
) -> Iterator[Member]:
    """Yield the files in an archive in its order, without folders and hidden files.

    Parameters
    ----------
    path : Path
    contents : {"zip", "tar", "parquet", "file"}
        "tar" with gzip, bzip2, xz or no compression; "parquet" for a table with a column `audio`
        of structs of `bytes` and `path`, where the name is the last part of the path, or the
        column `video_id` with ".flac" where there is no path; "file" for the file itself.
    limits : Limits, optional
        Refused beyond these; by default beyond 4 GiB a member, 4 TiB in all or a hundredfold.

    Raises
    ------
    BatError
        If the archive is absent, is of another kind, is truncated or damaged beyond one member,
        expands absurdly, or has a member with an absolute path, "..", a link, a device or an
        over-long or repeated name. A zip archive is judged before its first member is yielded;
        the others are streams, so the error may come after any number of members.
    """
    readers = {
        "zip": _zip_members,
        "tar": _tar_members,
        "parquet": _table_members,
        "file": _itself,
    }
    try:
        file = path.open("rb")
    except OSError as error:
        raise BatError(f"{path}: {error.strerror}") from error
    with file:
        yield from readers[contents](file, path.name, limits or _STREAM_LIMITS)


def _itself(file: io.BufferedReader, label: str, limits: Limits) -> Iterator[Member]:
    check_member_bytes(_size_bytes(file), label, limits)
    yield Member(name=label, content=file.read())


def _size_bytes(file: io.BufferedReader) -> int:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size_bytes


def _zip_members(file: io.BufferedReader, label: str, limits: Limits) -> Iterator[Member]:
    with checked_zip(file, label=label, limits=limits) as archive:
        for info in archive.infolist():
            if info.is_dir() or is_hidden(info.filename):
                continue
            try:
                member = Member(name=info.filename, content=archive.read(info))
            except DAMAGE as error:
                problem = f"damaged in the archive ({type(error).__name__})"
                member = Member(name=info.filename, content=b"", problem=problem)
            yield member


class _Unpacked(io.BufferedIOBase):
    """A tar archive without its compression, which is read forwards only.

    tarfile takes a damaged header, or none, for the end of the archive. Here, whatever ends before
    it should is an error, and the last header is kept to be looked at.
    """

    def __init__(self, file: io.BufferedReader, label: str, limits: Limits) -> None:
        self._label = label
        self._limits = limits
        self._archive_bytes = _size_bytes(file)
        self._stream = _decompressed(file, label)
        self._position = 0
        self._header_bytes = 0
        self._header = b""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Skip what lies before `offset`."""
        if offset < self._position or whence != io.SEEK_SET:
            raise tarfile.ReadError("members overlap")
        while self._position < offset:
            self._take(min(_BLOCK_BYTES, offset - self._position))
        return offset

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes of headers: for tarfile, which reads nothing else."""
        if size is None or not 0 <= size <= _MAX_HEADER_BYTES - self._header_bytes:
            raise tarfile.ReadError("absurd header")
        self._header_bytes += size
        self._header = self._take(size)
        return self._header

    def content(self, info: tarfile.TarInfo) -> bytes:
        """Return the content of the member whose header was read last."""
        self.seek(info.offset_data)
        return self._take(info.size)

    def expect_header(self) -> None:
        """Allow the next header its size."""
        self._header_bytes = 0

    def check_end(self) -> None:
        """Check that the last header was the end marker, and read the zeros that may follow.

        Some compressions have their checksum at the end.
        """
        if self._header != bytes(_HEADER_BYTES):
            raise tarfile.ReadError("bad header")
        while rest := self._stream.read(_BLOCK_BYTES):
            self._advance(len(rest))
            if rest.count(0) < len(rest):
                raise tarfile.ReadError("data after the end marker")

    def _take(self, size: int) -> bytes:
        self._advance(size)
        content = self._stream.read(size)
        if len(content) < size:
            raise tarfile.ReadError("unexpected end")
        return content

    def _advance(self, size: int) -> None:
        self._position += size
        check_expansion(self._position, self._archive_bytes, self._label, self._limits)


def _decompressed(file: io.BufferedReader, label: str) -> io.BufferedIOBase:
    magic = file.read(max(map(len, _TAR_COMPRESSIONS)))
    file.seek(0)
    if magic.startswith(_ZSTANDARD):
        raise BatError(
            f"{label}: expected a tar archive with gzip, bzip2, xz or no compression, found zstd; "
            "unpack it with unzstd first"
        )
    for beginning, decompress in _TAR_COMPRESSIONS.items():
        if magic.startswith(beginning):
            return decompress(file)
    return file


def _tar_members(file: io.BufferedReader, label: str, limits: Limits) -> Iterator[Member]:
    unpacked = _Unpacked(file, label, limits)
    names = _Names(label)
    position = 0
    try:
        with tarfile.open(fileobj=unpacked, mode="r:", encoding="utf-8") as tar:
            while (info := tar.next()) is not None:
                # tarfile keeps every header, which adds up in an archive of many small files. Its
                # type stubs do not know.
                tar.members.clear()  # type: ignore[attr-defined]
                _check_header(info, f"{label}: member {position}", limits)
                if not info.isdir():
                    name = names.new(info.name.removeprefix("./"))
                    if not is_hidden(name):
                        yield Member(name=name, content=unpacked.content(info))
                unpacked.expect_header()
                position += 1
            unpacked.check_end()
    except _TAR_DAMAGE as error:
        # Only these messages never have a name in them.
        reason = str(error) if isinstance(error, tarfile.ReadError) else type(error).__name__
        raise BatError(
            f"{label}: expected a tar archive, found it truncated or damaged at member {position}, "
            f"{unpacked.tell()} unpacked bytes from its start: {reason}"
        ) from None


def _check_header(info: tarfile.TarInfo, label: str, limits: Limits) -> None:
    if not (info.isreg() or info.isdir()) or info.issparse():
        raise BatError(f"{label}: expected a file or folder, found a link, device or sparse file")
    if not (info.isdir() and info.name == "."):
        check_name(info.name.removeprefix("./"), label)
    if info.size < 0:
        raise tarfile.ReadError("negative size")
    check_member_bytes(info.size, label, limits)


class _Names:
    """The names in an archive so far."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._seen: set[str] = set()

    def new(self, name: str) -> str:
        """Return a name that was not there before; BatError if it was."""
        if name in self._seen:
            raise BatError(f"{self._label}: two members have the same name")
        self._seen.add(name)
        return name


def _table_members(file: io.BufferedReader, label: str, limits: Limits) -> Iterator[Member]:
    archive_bytes, total_bytes = _size_bytes(file), 0
    names = _Names(label)
    for position, row in enumerate(_rows(Path(file.name), label)):
        at = f"{label}: row {position}"
        name = names.new(_row_name(row, at))
        content = row["audio"]["bytes"] if row["audio"] else None
        check_member_bytes(len(content or b""), at, limits)
        total_bytes += len(content or b"")
        check_expansion(total_bytes, archive_bytes, label, limits)
        if not is_hidden(name):
            problem = "no bytes in its row" if content is None else None
            yield Member(name=name, content=content or b"", problem=problem)


def _row_name(row: dict[str, Any], label: str) -> str:
    path = (row["audio"] or {}).get("path")
    if path is None and row.get("video_id") is None:
        raise BatError(f"{label}: expected a path in audio or a video_id, found neither")
    # Paths are those of the machine where the table was made, which may have been Windows.
    name = f"{row['video_id']}.flac" if path is None else PureWindowsPath(path).name
    check_name(name, label)
    return name


def _rows(path: Path, label: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, of which few are in memory at a time."""
    try:
        table = pl.scan_parquet(path, glob=False)
        columns = _columns(table, label)
        start = 0
        while rows := table.select(columns).slice(start, _ROWS_AT_A_TIME).collect().to_dicts():
            yield from rows
            start += len(rows)
    except _PARQUET_DAMAGE as error:
        raise BatError(
            f"{label}: expected a Parquet table, found it truncated or damaged "
            f"({type(error).__name__})"
        ) from None


def _columns(table: pl.LazyFrame, label: str) -> list[str]:
    schema = table.collect_schema()
    if schema.get("audio") != _AUDIO:
        found = ", ".join(f"{name}: {kind}" for name, kind in schema.items())
        raise BatError(f"{label}: expected a column audio of {_AUDIO}, found {found}")
    if "video_id" not in schema:
        return ["audio"]
    if schema["video_id"] != pl.String:
        raise BatError(f"{label}: expected video_id of String, found {schema['video_id']}")
    return ["audio", "video_id"]
