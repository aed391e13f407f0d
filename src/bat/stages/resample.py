"""Account for every entry of a data set, and bring the usable ones to one rate, mono, 16 bits.

Recordings are decoded once: what the ledger says of a recording is what was stored of it.
"""

from pathlib import Path

from bat.data.ledger import LEDGER_SCHEMA, build_ledger
from bat.data.pcm_store import PcmWriter
from bat.data.sources import Source, open_source
from bat.data.tables import write_table
from bat.errors import BatError
from bat.provenance.job import Job
from bat.runtime import threads
from bat.settings import ResampleSettings
from bat.stages.ledgers import check_usable, freeze_ledger, listing_of

DETERMINISM = "bitwise"


def run(job: Job, settings: ResampleSettings) -> None:
    """Write ``ledger.parquet``, ``pcm.npy`` with recordings end to end, and its ``index``."""
    folder = None if settings.folder is None else Path(settings.folder)
    with (
        open_source(job.path("source"), inner=settings.inner, folder=folder) as source,
        PcmWriter(
            job.output("pcm.npy"), job.output("index.parquet"), rate_hz=settings.rate_hz
        ) as writer,
    ):
        _check_archive(source, settings.inner_sha256)
        listing = listing_of(settings.layout, source)
        order = listing.label_order  # refused here if at all, not after the decoding
        ledger = build_ledger(
            listing.entries,
            source.read,
            writer,
            rate_hz=settings.rate_hz,
            minimum_duration_s=settings.minimum_duration_s,
            excludes=settings.excludes,
            excluded=settings.excluded,
            workers=threads(),
        )
        check_usable(ledger, listing, settings.maximum_bad_share)
    write_table(ledger, job.output("ledger.parquet"), LEDGER_SCHEMA, metadata=order.metadata())
    job.afterwards(lambda: freeze_ledger(job))


def _check_archive(source: Source, expected: str | None) -> None:
    if not source.names:
        raise BatError("source: holds no files")
    if expected is not None and source.sha256 != expected:
        raise BatError(f"inner archive: expected sha256 {expected}, found {source.sha256}")
