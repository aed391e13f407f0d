"""Read files from a zip archive, or from a zip inside a zip or wheel, without trusting it.

Nothing is unpacked to disk. Errors name a member by its position, never by its name: names in an
archive may be personal data.
"""

import hashlib
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bat.errors import BatError

# What a published file holds: members of an archive (tar: with any compression), rows of a Parquet
# table that carry the bytes of recordings, or just itself.
Contents = Literal["zip", "tar", "parquet", "file"]

_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1
# What zipfile lets through when it meets damaged bytes; RuntimeError for flags that it refuses.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
# The record at an archive's end with the longest comment, and before it those of large archives.
_LARGE_END_BYTES = 56 + 20
_MAX_END_BYTES = _LARGE_END_BYTES + 22 + 2**16
_MAX_NAME_BYTES = 1024
_MAX_PART_BYTES = 255
# Below this size a high ratio is harmless (digital silence compresses a thousandfold).
_RATIO_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may expand to.

    Attributes
    ----------
    max_member_bytes, max_total_bytes : int
        Size of one file, and of all files together.
    max_ratio : float
        All files over the archive itself, asked only of archives that expand beyond 64 MiB.
    """

    max_member_bytes: int = 4 * 2**30
    max_total_bytes: int = 64 * 2**30
    max_ratio: float = 100.0


class Archive:
    """The files of an open zip archive.

    Attributes
    ----------
    sha256 : str
        Hash of the archive's bytes.
    names : tuple of str
        Paths of its files, sorted; folders are left out.
    """

    def __init__(self, file: io.BufferedReader | io.BytesIO, *, label: str, limits: Limits) -> None:
        self._label = label
        self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._zip = checked_zip(file, label=label, limits=limits)
        self._infos = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        self.names = tuple(sorted(self._infos))

    def read(self, name: str) -> bytes:
        """Return one file's content.

        Raises
        ------
        BatError
            If the archive has no such file, or the file is damaged.
        """
        if name not in self._infos:
            raise BatError(f"{self._label}: no such member: {name!r}")
        try:
            return self._zip.read(self._infos[name])
        except DAMAGE as error:
            position = self._zip.infolist().index(self._infos[name])
            kind = type(error).__name__
            # Not "from error": zipfile's message may have the member's name.
            raise BatError(f"{self._label}: member {position} is damaged ({kind})") from None


@contextmanager
def open_archive(
    path: Path, *, inner: str | None = None, limits: Limits | None = None
) -> Iterator[Archive]:
    """Open a zip archive, or the zip archive `inner` inside it.

    Parameters
    ----------
    path : Path
        A zip archive or a wheel.
    inner : str, optional
        Name of the zip archive inside it whose files are wanted.
    limits : Limits, optional
        Refused beyond these.

    Raises
    ------
    BatError
        If either archive is no zip archive, is damaged or encrypted, expands absurdly, or has a
        member with an absolute path, "..", a link, a device or an over-long or repeated name.
    """
    limits = limits or Limits()
    try:
        file = path.open("rb")
    except OSError as error:
        raise BatError(f"{path}: {error.strerror}") from error
    with file:
        outer = Archive(file, label=path.name, limits=limits)
        if inner is None:
            yield outer
            return
        content = io.BytesIO(outer.read(inner))
        yield Archive(content, label=f"{path.name}/{inner}", limits=limits)


def checked_zip(
    file: io.BufferedReader | io.BytesIO, *, label: str, limits: Limits
) -> zipfile.ZipFile:
    """Open a zip archive and check what it says of its members; none of them is read.

    Raises
    ------
    BatError
        See `open_archive`.
    """
    archive_bytes = file.seek(0, 2)
    try:
        archive = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise BatError(f"{label}: expected a zip archive ({type(error).__name__})") from error
    infos = archive.infolist()
    for position, info in enumerate(infos):
        _check_member(info, f"{label}: member {position}", limits)
    # zipfile itself never reads beyond the declared sizes.
    check_expansion(sum(info.file_size for info in infos), archive_bytes, label, limits)
    names = [info.filename for info in infos if not info.is_dir()]
    if len(set(names)) < len(names):
        raise BatError(f"{label}: two members have the same name")
    _check_number(file, len(infos), label)
    return archive


def _check_number(file: io.BufferedReader | io.BytesIO, found: int, label: str) -> None:
    """Compare the number of members with what the archive's end says.

    zipfile does not: a wrong length in the table of contents may hide members from it.
    """
    file.seek(-min(_MAX_END_BYTES, file.seek(0, 2)), 2)
    end = file.read()
    start = end.rfind(b"PK\x05\x06")
    (declared,) = struct.unpack_from("<H", end, start + 10)
    modulus = 2**16
    large = end[max(0, start - _LARGE_END_BYTES) : start]
    if declared == modulus - 1 and large.startswith(b"PK\x06\x06"):
        (declared,) = struct.unpack_from("<Q", large, 32)
        modulus = 2**64
    # Some writers of large archives keep to the small field, which overflows.
    if declared != found % modulus:
        raise BatError(f"{label}: expected {declared} members, as its end says, found {found}")


def _check_member(info: zipfile.ZipInfo, label: str, limits: Limits) -> None:
    check_name(info.filename.removesuffix("/"), label)
    kind = stat.S_IFMT(info.external_attr >> 16)
    # Archives made on some systems record no kind at all.
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BatError(f"{label}: expected a file or folder, found a link or device")
    if info.flag_bits & _ENCRYPTED:
        raise BatError(f"{label}: encrypted")
    if info.compress_type not in _COMPRESSIONS:
        raise BatError(f"{label}: unknown compression method {info.compress_type}")
    check_member_bytes(info.file_size, label, limits)


def check_name(name: str, label: str) -> None:
    """Refuse a member's name that leads out of its folder or is too long for one.

    Parameters
    ----------
    name : str
        Of a file, or of a folder without the slash at its end.
    label : str
        What the error calls the member.

    Raises
    ------
    BatError
        If the path is absolute, has "..", ".", an empty part, a backslash, a null byte or a drive,
        a part of it is longer than 255 bytes or all of it than 1024, or it is not UTF-8.
    """
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or parts[0].endswith(":"):
        raise BatError(f"{label}: expected a relative path with forward slashes")
    if any(part in ("", ".", "..") for part in parts):
        raise BatError(f'{label}: expected a path without "..", "." and empty parts')
    try:
        encoded = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise BatError(f"{label}: expected a name in UTF-8") from None
    if max(encoded) > _MAX_PART_BYTES or sum(encoded) + len(parts) > _MAX_NAME_BYTES:
        raise BatError(f"{label}: the name is longer than {_MAX_PART_BYTES} bytes")


def check_member_bytes(size_bytes: int, label: str, limits: Limits) -> None:
    """Refuse a member that is larger than `limits` allow; BatError says so."""
    if size_bytes > limits.max_member_bytes:
        raise BatError(
            f"{label}: expands to {size_bytes} bytes, more than {limits.max_member_bytes}"
        )


def check_expansion(total_bytes: int, archive_bytes: int, label: str, limits: Limits) -> None:
    """Refuse an archive that expands absurdly to `total_bytes`, or so far; BatError says so."""
    if total_bytes > limits.max_total_bytes:
        raise BatError(
            f"{label}: expands to {total_bytes} bytes, more than {limits.max_total_bytes}"
        )
    ratio = total_bytes / max(1, archive_bytes)
    if total_bytes > _RATIO_FREE_BYTES and ratio > limits.max_ratio:
        raise BatError(f"{label}: expands {ratio:.0f}-fold, more than {limits.max_ratio:.0f}-fold")
