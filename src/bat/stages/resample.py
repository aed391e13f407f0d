"""Bring every usable recording to one rate, mono, 16 bits."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bat.audio.ffmpeg import decode
from bat.audio.pcm import pcm_sha256, to_int16
from bat.data.ledger import LEDGER_SCHEMA
from bat.data.shards import write_pcm
from bat.data.sources import SourceFile, recordings
from bat.data.tables import read_table
from bat.errors import BatError
from bat.progress import track
from bat.provenance.job import Job
from bat.settings import ResampleSettings

DETERMINISM = "bitwise"


def run(job: Job, settings: ResampleSettings) -> None:
    """Write ``pcm.npy``, all recordings end to end, and its ``index.parquet``."""
    ledger = read_table(job.path("ledger"), LEDGER_SCHEMA).filter(pl.col("status") == "ok")
    expected = dict(ledger.select("recording_id", "pcm_sha256").iter_rows())
    sources = (
        source
        for source in recordings(job.path("archive"), inner=settings.inner)
        if source.recording_id in expected
    )
    progress = track(sources, "resampling", total=len(expected))
    write_pcm(
        job.output("pcm.npy"),
        job.output("index.parquet"),
        _pcm(progress, expected, settings.rate_hz),
        rate_hz=settings.rate_hz,
    )


def _pcm(
    sources: Iterator[SourceFile], expected: dict[str, str], rate_hz: int
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Decode recordings and compare each with the hash that the ledger holds of it."""
    for source in sources:
        if source.content is None:
            raise BatError(f"{source.recording_id}: the ledger has it, the archive does not")
        pcm = to_int16(decode(source.content, rate_hz=rate_hz).samples)
        found, wanted = pcm_sha256(pcm), expected[source.recording_id]
        if found != wanted:
            raise BatError(
                f"{source.recording_id}: PCM differs from the ledger's: "
                f"expected sha256 {wanted}, found {found}"
            )
        yield source.recording_id, pcm
