"""Account for every entry of a data set, and bring the usable ones to one rate, mono, 16 bits.

Recordings are decoded once: what the ledger says of a recording is what was stored of it.
"""

import json
import logging
from pathlib import Path

import polars as pl

from bat.data.layouts import read_layout
from bat.data.ledger import LEDGER_SCHEMA, build_ledger, check_bad_share, describe
from bat.data.shards import PcmWriter
from bat.data.sources import Source, open_source
from bat.data.tables import write_table
from bat.errors import BatError
from bat.progress import track
from bat.provenance.job import Job
from bat.runtime import threads
from bat.settings import ResampleSettings

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)
_REASONS_SHOWN = 20


def run(job: Job, settings: ResampleSettings) -> None:
    """Write ``ledger.parquet``, ``pcm.npy`` with all recordings end to end, and its ``index``."""
    folder = None if settings.folder is None else Path(settings.folder)
    with (
        open_source(job.path("source"), inner=settings.inner, folder=folder) as source,
        PcmWriter(
            job.output("pcm.npy"), job.output("index.parquet"), rate_hz=settings.rate_hz
        ) as writer,
    ):
        _check_archive(source, settings.inner_sha256)
        options = settings.layout.model_dump(exclude={"kind"}, exclude_none=True)
        listing = read_layout(settings.layout.kind, source, **options)
        ledger = build_ledger(
            track(listing.entries, "decoding recordings"),
            source.read,
            writer,
            rate_hz=settings.rate_hz,
            minimum_duration_s=settings.minimum_duration_s,
            excludes=settings.excludes,
            excluded=settings.excluded,
            workers=threads(),
        )
        _LOG.info("ledger: %s", describe(ledger))
        _report_unusable(ledger)
        origins = {one.recording_id: one.origin for one in listing.entries if one.origin}
        check_bad_share(ledger, max_bad_share=settings.maximum_bad_share, origins=origins)
        if not (ledger["status"] == "ok").any():
            raise BatError(f"ledger: no usable recording ({describe(ledger)})")
    metadata = {"classes": json.dumps(listing.classes)}
    write_table(ledger, job.output("ledger.parquet"), LEDGER_SCHEMA, metadata=metadata)


def _check_archive(source: Source, expected: str | None) -> None:
    if not source.names:
        raise BatError("source: holds no files")
    if expected is not None and source.sha256 != expected:
        raise BatError(f"inner archive: expected sha256 {expected}, found {source.sha256}")


def _report_unusable(ledger: pl.DataFrame) -> None:
    unusable = ledger.filter(pl.col("status") != "ok")
    for row in unusable.head(_REASONS_SHOWN).iter_rows(named=True):
        _LOG.info("not used: %s: %s: %s", row["recording_id"], row["status"], row["reason"])
    if unusable.height > _REASONS_SHOWN:
        _LOG.info("not used: %d more, see the ledger", unusable.height - _REASONS_SHOWN)
