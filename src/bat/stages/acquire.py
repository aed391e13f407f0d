"""Fetch a published data set and keep what can be heard: archives come and go.

Each archive is fetched, checked, decoded member by member and deleted, so that the disk holds the
PCM and a few archives at a time. An interrupted job goes on where it was.
"""

import errno
import importlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bat.acquisition.catalogue import published
from bat.acquisition.downloads import fetch_all
from bat.acquisition.intake import Intake, Origin, write_lists
from bat.acquisition.listing import Listed, list_files
from bat.acquisition.network import Network, public
from bat.acquisition.remote import RemoteFile
from bat.acquisition.verification import check_members
from bat.data.archive import open_archive
from bat.data.recordings import RECORDINGS_SCHEMA
from bat.data.sources import AcquiredSource
from bat.data.tables import write_table
from bat.errors import BatError
from bat.progress import readable_bytes
from bat.provenance.hashing import canonical_json
from bat.provenance.job import Job
from bat.runtime import threads
from bat.settings import AcquireSettings
from bat.stages.scratch import discard_scratch, hand_over, scratch_of

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)


def run(job: Job, settings: AcquireSettings) -> None:
    """Write ``pcm.npy``, ``recordings.parquet``, ``lists.zip`` and ``files.json``."""
    network = Network.from_environment()
    scratch = scratch_of(job)
    listed = _listing(scratch / "listing.json", settings, network)
    intake = Intake(scratch, listed.files, rate_hz=settings.rate_hz, workers=threads())
    _take_in(intake, scratch / "downloads", network)
    if settings.source.youtube is not None:
        _fill_gaps(intake, scratch / "youtube", settings, network)
    recordings = intake.recordings()
    write_table(recordings, job.output("recordings.parquet"), RECORDINGS_SCHEMA)
    write_lists(job.output("lists.zip"), intake.lists())
    with open_archive(job.output("lists.zip")) as lists:
        check_members(published(settings.source.name), AcquiredSource(lists, recordings["file"]))
    hand_over(intake.close(), job.output("pcm.npy"))
    receipts = [asdict(receipt) for receipt in intake.receipts]
    job.write_json("files.json", {"revision": listed.revision, "files": receipts})
    job.afterwards(lambda: discard_scratch(job))


def determinism(settings: AcquireSettings) -> str:
    """Say how exactly a rebuild repeats this: a copy is the same tomorrow, YouTube is not."""
    return DETERMINISM if settings.source.youtube is None else "stochastic"


def _listing(path: Path, settings: AcquireSettings, network: Network) -> Listed:
    """List the mirror once: what is continued tomorrow is the commit of today."""
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        files = (RemoteFile(**{**file, "urls": tuple(file["urls"])}) for file in content["files"])
        return Listed(files=tuple(files), revision=content["revision"])
    source = settings.source
    listed = list_files(
        published(source.name),
        source.mirror,
        parts=settings.parts,
        revision=source.revision,
        network=network,
    )
    new = path.with_suffix(".new")
    new.write_text(canonical_json(asdict(listed)), encoding="utf-8")
    new.replace(path)
    return listed


def _take_in(intake: Intake, downloads: Path, network: Network) -> None:
    """Fetch what is not there yet, a few files ahead of the one that is taken in."""
    remaining = intake.remaining
    if intake.receipts:
        _LOG.info("%d files were taken in before, %d remain", len(intake.receipts), len(remaining))
    fetched = fetch_all(remaining, downloads, network, ahead=network.connections)
    for remote, file in zip(remaining, fetched, strict=True):
        # Not the address that answered: which of several did is of no account, the bytes are.
        url = public(remote.urls[0])
        origin = Origin(name=remote.name, url=url, bytes=file.bytes, sha256=file.sha256)
        with _disk_full_is_told(intake):
            intake.take(remote, file.path, origin)
        file.discard()
        receipt = intake.receipts[-1]
        _LOG.info("%s: %d recordings, %d lists", remote.name, receipt.recordings, receipt.lists)


@contextmanager
def _disk_full_is_told(intake: Intake) -> Iterator[None]:
    """Say how much more is needed where the PCM does not fit on the disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        needed = readable_bytes(intake.still_needed_bytes())
        raise BatError(
            f"{intake.folder}: the disk is full; about {needed} more are needed for the PCM of "
            f"{len(intake.remaining)} files; free some space and run the same command again"
        ) from None


def _fill_gaps(intake: Intake, folder: Path, settings: AcquireSettings, network: Network) -> None:
    """Ask YouTube for the clips that the copy lacks."""
    youtube = settings.source.youtube
    if intake.supplemented or youtube is None:
        return
    # By name: its code counts for the jobs that ask for it, and for no others.
    gaps = importlib.import_module("bat.acquisition.gaps")
    folder.mkdir(exist_ok=True)
    write_lists(folder / "lists.zip", intake.lists())
    with open_archive(folder / "lists.zip") as lists:
        source = AcquiredSource(lists, intake.recordings()["file"])
        found = gaps.fill(
            source,
            folder,
            parts=settings.parts or (),
            seconds_between_requests=youtube.seconds_between_requests,
            maximum_clips=youtube.maximum_clips,
            locate=network.locate,
        )
    intake.take_found(found, Origin(name=gaps.ARCHIVE, url=gaps.ADDRESS, bytes=0, sha256=""))
