"""Take in a data set file by file: what can be heard becomes PCM, lists are kept.

::

    <folder>/pcm.npy                    recordings end to end, as far as they were taken in
    <folder>/taken/00007/               what is left of the eighth file of a mirror:
        recordings.parquet              a row per recording in it, with its place in pcm.npy
        lists.zip                       what is no recording: tables, transcripts
        receipt.json                    which file it was, and how far it filled pcm.npy

A file is taken in as a whole or not at all: ``taken/00007`` appears, by a rename, when everything
that it tells of is on the disk. Whatever interrupts the work, the next start cuts ``pcm.npy`` to
what the last receipt says and goes on with the file after it. The result depends on the files and
their order alone, not on interruptions or threads.
"""

import json
import logging
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from bat.acquisition.remote import RemoteFile
from bat.data.archive import open_archive
from bat.data.members import Member, stream_members
from bat.data.pcm_store import PcmLog
from bat.data.recordings import RECORDINGS_SCHEMA, Found, measure_all
from bat.data.tables import make_table, read_table, write_table
from bat.durable import flush
from bat.errors import BatError

_LOG = logging.getLogger(__name__)

# Whatever else is in an archive is a list, or lies there for people.
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".aiff", ".caf"}
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of members of lists.zip: the same content gives the same bytes
_RECORDINGS, _LISTS, _RECEIPT = "recordings.parquet", "lists.zip", "receipt.json"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A file that recordings come from.

    Attributes
    ----------
    name : str
        Its name in the mirror.
    url : str
        The public form of the address.
    bytes : int
    sha256 : str
    """

    name: str
    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was taken in.

    Attributes
    ----------
    origin : Origin
    recordings, lists : int
        How many were found.
    samples : int
        What pcm.npy holds since.
    """

    origin: Origin
    recordings: int
    lists: int
    samples: int


class Intake:
    """A data set that is being taken in.

    Parameters
    ----------
    folder : Path
        Where the work lies; earlier work there is continued.
    files : sequence of RemoteFile
        All files of the mirror, in order.
    rate_hz : int
        Rate of the PCM.
    workers : int
        Recordings that are decoded at a time.

    Attributes
    ----------
    receipts : list of Receipt
        What was taken in so far.

    Raises
    ------
    BatError
        If the earlier work is of other files, or damaged.
    """

    def __init__(
        self, folder: Path, files: Sequence[RemoteFile], *, rate_hz: int, workers: int
    ) -> None:
        self.folder = folder
        self._taken = folder / "taken"
        self._taken.mkdir(parents=True, exist_ok=True)
        self._files = tuple(files)
        self._rate_hz = rate_hz
        self._workers = workers
        self.receipts = [_read_receipt(place / _RECEIPT) for place in self._places()]
        self._check_receipts()
        self._pcm = PcmLog(folder / "pcm.npy", samples=self._samples)

    @property
    def remaining(self) -> tuple[RemoteFile, ...]:
        """Files that are still to be taken in."""
        return self._files[len(self.receipts) :]

    @property
    def supplemented(self) -> bool:
        """Whether more was taken in than the files of the mirror: recordings from elsewhere."""
        return len(self.receipts) > len(self._files)

    def take(self, remote: RemoteFile, path: Path, origin: Origin) -> None:
        """Take in the next file of the mirror.

        Parameters
        ----------
        remote : RemoteFile
        path : Path
            Where it lies.
        origin : Origin

        Raises
        ------
        BatError
            If the file is hostile or damaged (see `bat.data.members`); nothing of it stays.
        """
        lists: dict[str, bytes] = {}
        members = _placed(stream_members(path, remote.contents), remote)
        found = (
            Found(
                file=member.name,
                content=member.content,
                archive=remote.name,
                problem=None if member.problem is None else ("corrupt", member.problem),
            )
            for member in _without_lists(members, lists)
        )
        self.take_found(found, origin, lists)

    def take_found(
        self, found: Iterable[Found], origin: Origin, lists: dict[str, bytes] | None = None
    ) -> None:
        """Take in recordings, and with them the lists that are found while they are read."""
        lists = {} if lists is None else lists
        number = len(self.receipts)
        partial = self._taken / f".partial-{number:05d}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        rows = measure_all(found, self._pcm, rate_hz=self._rate_hz, workers=self._workers)
        recordings = make_table(rows, RECORDINGS_SCHEMA)
        self._pcm.flush()
        kept = _true_lists(lists, recordings["file"])
        receipt = Receipt(
            origin=origin,
            recordings=recordings.height,
            lists=len(kept),
            samples=self._pcm.samples,
        )
        write_table(recordings, partial / _RECORDINGS, RECORDINGS_SCHEMA)
        write_lists(partial / _LISTS, kept)
        (partial / _RECEIPT).write_text(json.dumps(asdict(receipt)), encoding="utf-8")
        for file in (*partial.iterdir(), partial):
            flush(file)
        partial.rename(self._taken / f"{number:05d}")
        flush(self._taken)
        self.receipts.append(receipt)

    def still_needed_bytes(self) -> int:
        """Estimate what the PCM of the remaining files will take, beyond what is free now.

        By what the files so far have become; before the first, as if they kept their size.
        """
        fetched = sum(receipt.origin.bytes for receipt in self.receipts)
        growth = 2 * self._samples / fetched if fetched else 1.0
        rest = sum(file.bytes or 0 for file in self.remaining)
        written = 2 * (self._pcm.samples - self._samples)
        free = shutil.disk_usage(self.folder).free
        return max(1, round(growth * rest) - written - free)

    def recordings(self) -> pl.DataFrame:
        """Return the rows of all recordings, in the order in which they were taken in.

        Where two files of the mirror hold a recording of the same name, the first counts; the
        log says so.
        """
        tables = [read_table(place / _RECORDINGS, RECORDINGS_SCHEMA) for place in self._places()]
        every = pl.concat(tables, rechunk=True)
        first = every.filter(pl.col("file").is_first_distinct())
        if first.height < every.height:
            again = every.filter(~pl.col("file").is_first_distinct())["file"]
            _LOG.warning(
                "%d recordings are in two files of the mirror, the first counts: %s ...",
                len(again),
                again[0],
            )
        return first

    def lists(self) -> dict[str, bytes]:
        """Return the lists by name; of two with one name the first counts, and the log says so."""
        every: dict[str, bytes] = {}
        for place in self._places():
            with open_archive(place / _LISTS) as archive:
                for name in archive.names:
                    content = archive.read(name)
                    if every.setdefault(name, content) != content:
                        _LOG.warning("%s: differs between files of the mirror; first used", name)
        return every

    def close(self) -> Path:
        """Finish pcm.npy and return its path."""
        self._pcm.close()
        return self.folder / "pcm.npy"

    @property
    def _samples(self) -> int:
        return self.receipts[-1].samples if self.receipts else 0

    def _places(self) -> list[Path]:
        """Folders of what was taken in, in order; a hidden one was not finished."""
        return sorted(place for place in self._taken.iterdir() if not place.name.startswith("."))

    def _check_receipts(self) -> None:
        names = [receipt.origin.name for receipt in self.receipts]
        expected = [file.name for file in self._files[: len(names)]]
        # Beyond the files of the mirror there may be recordings from elsewhere.
        if names[: len(expected)] != expected:
            raise BatError(
                f"{self._taken}: expected earlier work on {expected[:1]}, found {names[:1]}; "
                "remove the folder to begin anew"
            )


def write_lists(path: Path, lists: dict[str, bytes]) -> None:
    """Write a zip archive of lists; the same content gives the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(lists):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), lists[name], zipfile.ZIP_DEFLATED)


def _placed(members: Iterable[Member], remote: RemoteFile) -> Iterator[Member]:
    """Give members their names in the data set's published layout."""
    into = f"{remote.into}/" if remote.into else ""
    for member in members:
        yield Member(name=into + member.name, content=member.content, problem=member.problem)


def _without_lists(members: Iterable[Member], lists: dict[str, bytes]) -> Iterator[Member]:
    """Yield what may be a recording; put aside what is not."""
    for member in members:
        if PurePosixPath(member.name).suffix.lower() in AUDIO_SUFFIXES:
            yield member
        elif member.problem is None:
            lists[member.name] = member.content
        else:
            raise BatError(f"a list in the archive cannot be read: {member.problem}")


def _true_lists(lists: dict[str, bytes], recordings: pl.Series) -> dict[str, bytes]:
    """Leave out what lies beside each recording under its name: labels of a clip, not a list."""
    stems = {str(PurePosixPath(name).with_suffix("")) for name in recordings}
    return {
        name: content
        for name, content in lists.items()
        if str(PurePosixPath(name).with_suffix("")) not in stems
    }


def _read_receipt(path: Path) -> Receipt:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Receipt(**{**fields, "origin": Origin(**fields["origin"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BatError(f"{path}: not a receipt ({type(error).__name__})") from error
