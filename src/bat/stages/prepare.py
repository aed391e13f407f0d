"""Account for every source file, then cut the usable ones into clips."""

import logging
import tempfile
from pathlib import Path

import polars as pl

from bat.data.ledger import (
    LEDGER_SCHEMA,
    Ledger,
    build_ledger,
    check_bad_share,
    describe,
)
from bat.data.manifest import MANIFEST_SCHEMA, mixture_clips, speaker_clips
from bat.data.shards import PcmStore, write_pcm
from bat.data.sources import SourceFile, recordings
from bat.data.tables import write_table
from bat.errors import BatError
from bat.params import Data, Mixing
from bat.progress import track
from bat.provenance.job import Job
from bat.settings import PrepareSettings

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)


def run(job: Job, settings: PrepareSettings) -> None:
    """Write ``ledger.parquet`` and one manifest per task."""
    data = settings.data
    sources = list(recordings(job.path("archive"), inner=settings.inner))
    _check_archive(sources, settings.inner_sha256)
    ledger = build_ledger(
        track(sources, "decoding recordings"), rate_hz=data.rate_hz, min_duration_s=data.clip_s
    )
    _LOG.info("ledger: %s", describe(ledger.table))
    _report_unusable(ledger.table)
    check_bad_share(ledger.table, max_bad_share=data.maximum_bad_share)
    write_table(ledger.table, job.output("ledger.parquet"), LEDGER_SCHEMA)

    windows = _cut(ledger, data)
    _check_folds(windows, settings.folds)
    for name, mixing in settings.tasks.items():
        clips = _mix(windows, mixing) if mixing else windows
        _LOG.info("%s: %d clips of %d classes", name, clips.height, _classes(clips))
        write_table(clips, job.output(f"{name}.parquet"), MANIFEST_SCHEMA)


def _check_archive(sources: list[SourceFile], expected: str | None) -> None:
    if not sources:
        raise BatError("archive: holds no files")
    found = sources[0].archive_sha256
    if expected is not None and found != expected:
        raise BatError(f"inner archive: expected sha256 {expected}, found {found}")


def _report_unusable(ledger: pl.DataFrame) -> None:
    for row in ledger.filter(pl.col("status") != "ok").iter_rows(named=True):
        _LOG.info("not used: %s: %s: %s", row["recording_id"], row["status"], row["reason"])


def _cut(ledger: Ledger, data: Data) -> pl.DataFrame:
    """Cut recordings into windows, through a store like the one that later stages read."""
    if not ledger.pcm:
        raise BatError(f"ledger: no usable recording ({describe(ledger.table)})")
    with tempfile.TemporaryDirectory() as scratch:
        samples, index = Path(scratch) / "pcm.npy", Path(scratch) / "index.parquet"
        write_pcm(samples, index, ledger.pcm.items(), rate_hz=data.rate_hz)
        store = PcmStore(samples, index)
        return speaker_clips(ledger.table, store, window_s=data.clip_s, min_rms=data.minimum_rms)


def _mix(windows: pl.DataFrame, mixing: Mixing) -> pl.DataFrame:
    return mixture_clips(
        windows,
        seed=mixing.seed,
        mixtures_per_clip=mixing.mixtures_per_clip,
        max_speakers=mixing.maximum_speakers,
        max_gain_db=mixing.gain_range_db,
    )


def _check_folds(windows: pl.DataFrame, folds: list[str]) -> None:
    found = sorted(windows["meeting"].unique().to_list())
    if found != folds:
        raise BatError(
            f"groups: their test meetings are {', '.join(folds)}, "
            f"but the usable clips are of {', '.join(found)}"
        )


def _classes(clips: pl.DataFrame) -> int:
    return clips["labels"].explode().n_unique()
