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

from bat.errors import BatError

_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1
# What zipfile lets through when it meets damaged bytes; RuntimeError for flags that it refuses.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
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
        archive_bytes = file.seek(0, 2)
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise BatError(f"{label}: expected a zip archive ({type(error).__name__})") from error
        infos = self._zip.infolist()
        for position, info in enumerate(infos):
            _check_member(info, f"{label}: member {position}", limits)
        _check_expansion(infos, archive_bytes, label, limits)
        self._infos = {info.filename: info for info in infos if not info.is_dir()}
        if len(self._infos) < sum(not info.is_dir() for info in infos):
            raise BatError(f"{label}: two members have the same name")
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
        except _DAMAGE as error:
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


def _check_member(info: zipfile.ZipInfo, label: str, limits: Limits) -> None:
    parts = info.filename.removesuffix("/").split("/")
    if info.filename.startswith("/") or "\\" in info.filename or parts[0].endswith(":"):
        raise BatError(f"{label}: expected a relative path with forward slashes")
    if any(part in ("", ".", "..") for part in parts):
        raise BatError(f'{label}: expected a path without "..", "." and empty parts')
    encoded = [len(part.encode(errors="replace")) for part in parts]
    if max(encoded) > _MAX_PART_BYTES or sum(encoded) + len(parts) > _MAX_NAME_BYTES:
        raise BatError(f"{label}: the name is longer than {_MAX_PART_BYTES} bytes")
    kind = stat.S_IFMT(info.external_attr >> 16)
    # Archives made on some systems record no kind at all.
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BatError(f"{label}: expected a file or folder, found a link or device")
    if info.flag_bits & _ENCRYPTED:
        raise BatError(f"{label}: encrypted")
    if info.compress_type not in _COMPRESSIONS:
        raise BatError(f"{label}: unknown compression method {info.compress_type}")
    if info.file_size > limits.max_member_bytes:
        raise BatError(
            f"{label}: expands to {info.file_size} bytes, more than {limits.max_member_bytes}"
        )


def _check_expansion(
    infos: list[zipfile.ZipInfo], archive_bytes: int, label: str, limits: Limits
) -> None:
    """Refuse what expands absurdly; zipfile itself never reads beyond the declared sizes."""
    total_bytes = sum(info.file_size for info in infos)
    if total_bytes > limits.max_total_bytes:
        raise BatError(
            f"{label}: expands to {total_bytes} bytes, more than {limits.max_total_bytes}"
        )
    ratio = total_bytes / max(1, archive_bytes)
    if total_bytes > _RATIO_FREE_BYTES and ratio > limits.max_ratio:
        raise BatError(f"{label}: expands {ratio:.0f}-fold, more than {limits.max_ratio:.0f}-fold")
