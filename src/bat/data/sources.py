"""Where a data set's files are read from: an archive, or a folder with its inventory.

A folder may change under a pipeline's hands. Its inventory, taken once, says what it held; every
later read is checked against it.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol, overload

import pandera.polars as pa
import polars as pl

from bat.data.archive import Archive, open_archive
from bat.data.tables import check_table, read_table
from bat.errors import BatError

INVENTORY_SCHEMA = pa.DataFrameSchema(
    {
        # Relative, with forward slashes: no absolute path, no "..".
        "path": pa.Column(
            pl.String,
            pa.Check(
                lambda data: data.lazyframe.select(
                    ~pl.col(data.key).str.contains(r"^/|(^|/)\.\.(/|$)|^$")
                ),
                error="relative paths",
            ),
            unique=True,
        ),
        "bytes": pa.Column(pl.Int64, pa.Check.ge(0)),
        "sha256": pa.Column(pl.String, pa.Check.str_matches(r"^[0-9a-f]{64}$")),
    },
    strict=True,
    ordered=True,
    name="inventory",
)


class Source(Protocol):
    """An open data set."""

    @property
    def names(self) -> Sequence[str]:
        """Relative paths of its files with forward slashes, sorted.

        Hidden files, which an operating system or a version control system left there, do not
        count.
        """

    @property
    def sha256(self) -> str:
        """Hash of the archive (the inner one of a nested archive), or of the folder's inventory."""

    def read(self, name: str) -> bytes:
        """Return one file's content; BatError if it is absent, damaged or changed."""


class Names(Sequence[str]):
    """Names in a column: as a tuple, two million would take a quarter of a gigabyte.

    Attributes
    ----------
    column : polars.Series of str
    """

    def __init__(self, column: pl.Series) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __iter__(self) -> Iterator[str]:
        return iter(self.column)

    def __contains__(self, name: object) -> bool:
        return bool((self.column == name).any()) if isinstance(name, str) else False

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        found = self.column[place]
        return Names(found) if isinstance(place, slice) else str(found)


def column_of(names: Sequence[str]) -> pl.Series:
    """Return the names of a source as a column, for layouts of data sets of millions of files."""
    return names.column if isinstance(names, Names) else pl.Series(names, dtype=pl.String)


class ArchiveSource:
    """The files of an open archive as a `Source`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.sha256 = archive.sha256
        self.names = tuple(name for name in archive.names if not is_hidden(name))

    def read(self, name: str) -> bytes:
        """Return one file's content; see `bat.data.archive.Archive.read`."""
        return self._archive.read(name)


class FolderSource:
    """The files of a folder as a `Source`, checked against its inventory on every read.

    Parameters
    ----------
    folder : Path
    inventory : polars.DataFrame
        What `take_inventory` found there.
    """

    def __init__(self, folder: Path, inventory: pl.DataFrame) -> None:
        self._folder = folder
        inventory = check_table(inventory, INVENTORY_SCHEMA).sort("path")
        self._sha256_of = dict(inventory.select("path", "sha256").iter_rows())
        self.names = tuple(self._sha256_of)
        self.sha256 = hashlib.sha256(json.dumps(inventory.rows()).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """Return one file's content.

        Raises
        ------
        BatError
            If the inventory has no such file, or the file is not what the inventory says.
        """
        if name not in self._sha256_of:
            raise BatError(f"{self._folder}: no such file in its inventory: {name!r}")
        try:
            content = (self._folder / name).read_bytes()
        except OSError as error:
            raise BatError(f"{self._folder}: {name!r}: {error.strerror}") from error
        expected, found = self._sha256_of[name], hashlib.sha256(content).hexdigest()
        if found != expected:
            raise BatError(
                f"{self._folder}: {name!r} changed since the inventory was taken: "
                f"expected sha256 {expected}, found {found}"
            )
        return content


class AcquiredSource:
    """What was acquired of a data set as a `Source`: its lists, and recordings by name.

    Parameters
    ----------
    lists : Archive
        An archive of everything that is no recording.
    recordings : polars.Series of str
        Names of the files that are, or were, recordings; their content is gone, their PCM is not.
    """

    def __init__(self, lists: Archive, recordings: pl.Series) -> None:
        self._lists = lists
        self.sha256 = lists.sha256
        every = pl.concat([pl.Series(lists.names, dtype=pl.String), recordings])
        self.names = Names(every.unique().sort())

    def read(self, name: str) -> bytes:
        """Return a list's content; BatError if there is no such list or it is damaged."""
        return self._lists.read(name)


@contextmanager
def open_source(
    path: Path, *, inner: str | None = None, folder: Path | None = None
) -> Iterator[Source]:
    """Open a data set.

    Parameters
    ----------
    path : Path
        A zip archive or a wheel; with `folder`, the Parquet table of that folder's inventory.
    inner : str, optional
        Name of the zip archive inside the archive.
    folder : Path, optional
        The folder that the inventory describes.

    Raises
    ------
    BatError
        If the archive is refused (see `bat.data.archive`), the inventory is absent or damaged, or
        `inner` is given for a folder.
    """
    if folder is None:
        with open_archive(path, inner=inner) as archive:
            yield ArchiveSource(archive)
        return
    if inner is not None:
        raise BatError(f"{folder}: expected an archive, from which to read {inner!r}")
    yield FolderSource(folder, read_table(path, INVENTORY_SCHEMA))


def take_inventory(folder: Path) -> pl.DataFrame:
    """Write down every file below a folder, except hidden ones.

    Returns
    -------
    polars.DataFrame
        Columns of `INVENTORY_SCHEMA`, sorted by path.

    Raises
    ------
    BatError
        If there is no such folder or no file in it, or if something in it is no plain file: a
        link that leaves the folder, leads to a folder or to nothing; a device, pipe or socket; a
        file or folder that may not be read; a name that is not UTF-8.
    """
    if not folder.is_dir():
        raise BatError(f"{folder}: expected a folder")
    root = folder.resolve()
    rows = [_inventory_row(path, root) for path in _files_below(root)]
    if not rows:
        raise BatError(f"{folder}: expected a data set, found no file")
    table = pl.DataFrame(
        rows,
        schema={"path": pl.String, "bytes": pl.Int64, "sha256": pl.String},
        orient="row",
    )
    return check_table(table.sort("path"), INVENTORY_SCHEMA)


def glance(folder: Path) -> str:
    """Digest the names, sizes and times of the files below a folder; none of them is read.

    Where it is the same, the folder most likely is; whoever must be sure takes an inventory. A
    folder that is not there has a digest too.
    """
    root = folder.resolve()
    files = sorted(_files_below(root)) if root.is_dir() else []
    seen = [(path.relative_to(root).as_posix(), path.lstat()) for path in files]
    rows = [[name, found.st_size, found.st_mtime_ns] for name, found in seen]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _files_below(root: Path) -> Iterator[Path]:
    """Yield everything that is no real folder, whatever it is; folders are entered in turn."""
    for parent, folders, files in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in (*links, *files) if not is_hidden(name))


def _refuse_folder(error: OSError) -> NoReturn:
    raise BatError(f"{error.filename}: {error.strerror}") from error


def _inventory_row(path: Path, root: Path) -> tuple[str, int, str]:
    name = path.relative_to(root).as_posix()
    label = f"{root}: {name!r}"
    try:
        name.encode()
        # A link within the folder is as good as the file it leads to.
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            raise BatError(f"{label}: expected a file, found a link that leaves the folder")
        if not path.is_file():
            raise BatError(f"{label}: expected a file, found a device, a pipe or a broken link")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return name, file.tell(), sha256
    except UnicodeEncodeError as error:
        raise BatError(f"{label}: expected a name in UTF-8") from error
    except OSError as error:
        raise BatError(f"{label}: {error.strerror}") from error


def is_hidden(name: str) -> bool:
    """Say whether a relative path is that of a hidden file, or lies in a hidden folder."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
