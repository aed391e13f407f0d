"""Versions of a ledger: what a data set was, each time that it changed.

::

    data/ledgers/<data set>/0001-<hash>.parquet     the first ledger that there was
    data/ledgers/<data set>/0002-<hash>.parquet     what a later run made of more clips, say

The hash is the first twelve digits of the file's SHA-256. Versions are only ever added, and files
are for reading: whoever cites a version finds it as it was. It is named by the data set and its
number, "audioset/2", or by the data set alone for the newest.
"""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bat.durable import flush
from bat.errors import BatError

LEDGERS = Path("data/ledgers")

_NAME = re.compile(r"(\d{4,})-([0-9a-f]{12})\.parquet")
_READ_ONLY = 0o444
# Parquet's own notes, which say nothing of the content.
_FORMAT_METADATA = ("ARROW:schema",)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A frozen ledger.

    Attributes
    ----------
    number : int
        Counted from 1.
    digest : str
        First twelve digits of the SHA-256.
    path : Path
    """

    number: int
    digest: str
    path: Path


def freeze(ledger_path: Path, folder: Path) -> Path:
    """Keep a ledger as a version, unless the newest version says the same.

    Parameters
    ----------
    ledger_path : Path
        A published ledger.
    folder : Path
        Where the versions of the data set are.

    Returns
    -------
    Path
        The version that has the ledger's content.

    Raises
    ------
    BatError
        If the newest version is not what it was.
    """
    known = versions(folder)
    if known and _same_content(_unchanged(known[-1]), ledger_path):
        return known[-1].path
    digest = _sha256(ledger_path)[:12]
    number = known[-1].number + 1 if known else 1
    path = folder / f"{number:04d}-{digest}.parquet"
    _copy(ledger_path, path)
    return path


def versions(folder: Path) -> list[Version]:
    """Return the versions in a folder from first to last; [] where there is no folder."""
    matches = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("*.parquet")]
    found = [
        Version(number=int(match[1]), digest=match[2], path=path)
        for path, match in matches
        if match is not None
    ]
    return sorted(found, key=lambda version: version.number)


def find(name: str, ledgers: Path = LEDGERS) -> Path:
    """Return the file that a user means.

    Parameters
    ----------
    name : str
        A ledger's path; or a version, "audioset/2", or "audioset" for the newest.
    ledgers : Path
        The folder of all data sets' versions.

    Raises
    ------
    BatError
        If there is no such file or version, or the version is not what it was.
    """
    if Path(name).is_file():
        return Path(name)
    dataset, _, number = name.partition("/")
    known = versions(ledgers / dataset)
    if not known:
        kept = sorted(path.name for path in ledgers.glob("*/"))
        raise BatError(
            f"{name}: no such ledger; expected a file, or a version of: {', '.join(kept) or 'none'}"
        )
    wanted = number.split("-")[0] or str(known[-1].number)
    for version in known:
        if wanted.isdecimal() and version.number == int(wanted):
            return _unchanged(version)
    raise BatError(f"{name}: no such version; {dataset} has 1 to {known[-1].number}")


def beside_rows(path: Path) -> dict[str, str]:
    """Return what a ledger says beside its rows: its classes and the name of their order."""
    metadata = pl.read_parquet_metadata(path)
    return {key: metadata[key] for key in sorted(metadata) if key not in _FORMAT_METADATA}


def _unchanged(version: Version) -> Path:
    """Return the path of a version, once it is clear that nobody changed the file."""
    found = _sha256(version.path)
    if not found.startswith(version.digest):
        raise BatError(
            f"{version.path}: changed since it was frozen: expected sha256 {version.digest}..., "
            f"found {found[:12]}...; remove it, or put the original back"
        )
    return version.path


def _same_content(one: Path, other: Path) -> bool:
    """Compare tables, not only bytes: another version of the Parquet writer changes these."""
    if _sha256(one) == _sha256(other):
        return True
    if pl.read_parquet_schema(one) != pl.read_parquet_schema(other):
        return False
    same_rows = pl.read_parquet(one).equals(pl.read_parquet(other))
    return same_rows and beside_rows(one) == beside_rows(other)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that it is there as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, partial)
    partial.chmod(_READ_ONLY)
    flush(partial)
    partial.replace(target)
    flush(target.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
