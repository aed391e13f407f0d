"""Recordings: one row per file that was found in a source, whatever it is.

What a row says, it says of the file alone. What becomes of it in a data set, in the light of the
list and of other files, is for the ledger to judge.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl

from bat.audio.decoding import decode
from bat.audio.ffmpeg import DecodeError, DecoderKilledError, EmptyRecordingError, Recording
from bat.audio.pcm import pcm_sha256, root_mean_square, to_float32, to_int16
from bat.data.tables import DISTINCT, holds

# "private" and "removed" are what a site says of a recording that it no longer gives out;
# "excluded" is a file that the caller did not want decoded.
RECORDING_STATUSES = ("ok", "missing", "private", "removed", "corrupt", "empty", "excluded")


def measured_columns() -> dict[str, pa.Column]:
    """Return what a table says of decoded files; null where a file was not decoded.

    RMS, peak (of full scale) and hash are those of the resampled 16-bit PCM, the form in which
    every later stage has the recording.
    """
    return {
        "native_rate_hz": pa.Column(pl.Int64, pa.Check.gt(0), nullable=True),
        "channels": pa.Column(pl.Int64, pa.Check.gt(0), nullable=True),
        "duration_s": pa.Column(pl.Float64, pa.Check.gt(0), nullable=True),
        "rms": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
        "peak": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
        "pcm_sha256": pa.Column(pl.String, nullable=True),
        "attempts": pa.Column(pl.Int64, pa.Check.ge(0)),
    }


RECORDINGS_SCHEMA = pa.DataFrameSchema(
    {
        "file": pa.Column(pl.String, DISTINCT),  # name in the data set's published layout
        "archive": pa.Column(pl.String, nullable=True),  # the published file it came from
        "bytes": pa.Column(pl.Int64, pa.Check.ge(0)),
        "sha256": pa.Column(pl.String, nullable=True),  # of the file; null where there is none
        "status": pa.Column(pl.String, pa.Check.isin(RECORDING_STATUSES)),
        "reason": pa.Column(pl.String),  # empty where the status is "ok"
        **measured_columns(),
        # Where its PCM lies among the stored samples.
        "offset": pa.Column(pl.Int64, pa.Check.ge(0), nullable=True),
        "samples": pa.Column(pl.Int64, pa.Check.gt(0), nullable=True),
    },
    checks=[
        pa.Check(
            holds((pl.col("status") == "ok") == (pl.col("reason") == "")),
            error="exactly the rows with status ok have an empty reason",
        ),
        pa.Check(
            holds(
                pl.all_horizontal(
                    (pl.col("status") == "ok") == pl.col(name).is_not_null()
                    for name in ("pcm_sha256", "offset", "samples")
                )
            ),
            error="exactly the rows with status ok have stored PCM",
        ),
    ],
    strict=True,
    ordered=True,
    name="recordings",
)

# ffmpeg may be killed on a machine short of memory; that is no property of the file.
_MAX_ATTEMPTS = 3
# Files decoded or waiting per worker: enough that a long recording holds nobody up for long, and
# few enough that their samples fit in memory.
_LOOK_AHEAD = 4

Problem: TypeAlias = tuple[str, str]  # status and reason
PcmSamples: TypeAlias = npt.NDArray[np.int16]


class PcmSink(Protocol):
    """Where samples are stored, one recording after the other."""

    def append(self, pcm: PcmSamples) -> int:
        """Store a recording and return the place of its first sample among all that are there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A file of a source, to be measured.

    Attributes
    ----------
    file : str
        Its name in the data set's published layout.
    content : bytes, callable or None
        What is in it, or a function that reads it, called on another thread when its turn comes;
        None where the file is known, but not there.
    archive : str or None
        The published file it came from.
    problem : tuple of str or None
        Status and reason, where they are known beforehand; such a file is not decoded.
    """

    file: str
    content: bytes | Callable[[], bytes] | None
    archive: str | None = None
    problem: Problem | None = None


def measure(
    file: str,
    content: bytes | None,
    *,
    rate_hz: int,
    archive: str | None = None,
    problem: Problem | None = None,
) -> tuple[dict[str, Any], PcmSamples | None]:
    """Decode one file and write down what it is.

    A file is missing (no content), empty (no bytes, or a container without samples), corrupt
    (undecodable, truncated, or with samples that are not finite) or ok. Neither the extension of
    its name nor its length nor what is heard in it plays a role.

    Parameters
    ----------
    file, archive, problem
        See `Found`.
    content : bytes or None
    rate_hz : int
        Rate of the PCM.

    Returns
    -------
    dict
        A row of `RECORDINGS_SCHEMA` that lacks nothing but the place of its PCM.
    array of int16, [samples], or None
        The PCM of a file with status "ok", at `rate_hz`.

    Raises
    ------
    DecoderKilledError
        If the decoder was killed three times: better no row than a wrong one.
    """
    if problem is not None:
        content = content or None  # there may be nothing of what could not be read
    row = _before_decoding(file, content, archive)
    if problem is not None:
        row["status"], row["reason"] = problem
    elif content is None:
        row.update(status="missing", reason=NOT_FOUND)
    elif not content:
        row.update(status="empty", reason="no bytes")
    else:
        return row, _decode_into(row, content, rate_hz)
    return row, None


NOT_FOUND = "named by the data set, not found"


def measure_all(
    files: Iterable[Found], writer: PcmSink, *, rate_hz: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Decode files on several threads, store their PCM and yield their rows, in the same order.

    The result does not depend on the number of workers.

    Parameters
    ----------
    files : iterable of Found
        Consumed a few files ahead of the row that is yielded.
    writer : PcmSink
        Receives the PCM of every file with status "ok".
    rate_hz : int
        Rate of the PCM.
    workers : int
        Files that are decoded at a time.

    Yields
    ------
    dict
        Rows of `RECORDINGS_SCHEMA`.

    Raises
    ------
    DecoderKilledError
        If the decoder was killed three times on one file.
    BatError
        If a file that is there cannot be read.
    """
    for row, pcm in _in_order(lambda found: _read_and_measure(found, rate_hz), files, workers):
        if pcm is not None:
            row.update(offset=writer.append(pcm), samples=len(pcm))
        yield row


_Measured: TypeAlias = tuple[dict[str, Any], PcmSamples | None]


def _read_and_measure(found: Found, rate_hz: int) -> _Measured:
    content = found.content() if callable(found.content) else found.content
    return measure(
        found.file, content, rate_hz=rate_hz, archive=found.archive, problem=found.problem
    )


def _in_order(
    work: Callable[[Found], _Measured], files: Iterable[Found], workers: int
) -> Iterator[_Measured]:
    """Measure files on several threads; yield in their order, never far ahead.

    Threads are enough: decoding leaves Python's lock to others.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[_Measured]] = deque()
        try:
            for found in files:
                pending.append(pool.submit(work, found))
                if len(pending) >= _LOOK_AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _before_decoding(file: str, content: bytes | None, archive: str | None) -> dict[str, Any]:
    return dict.fromkeys(RECORDINGS_SCHEMA.columns) | {
        "file": file,
        "archive": archive,
        "bytes": len(content or b""),
        "sha256": None if content is None else hashlib.sha256(content).hexdigest(),
        "status": "ok",
        "reason": "",
        "attempts": 0,
    }


def _decode_into(row: dict[str, Any], content: bytes, rate_hz: int) -> PcmSamples | None:
    """Decode a file, fill in the row's measurements and return its PCM, None if it is unusable."""
    try:
        recording, row["attempts"] = _decode_patiently(content, rate_hz)
    except DecodeError as error:
        status = "empty" if isinstance(error, EmptyRecordingError) else "corrupt"
        row.update(status=status, reason=str(error), attempts=1)
        return None
    row.update(
        native_rate_hz=recording.native_rate_hz,
        channels=recording.channels,
        duration_s=recording.duration_s,
    )
    if not len(recording.samples):
        row.update(status="empty", reason=f"no samples at {rate_hz} Hz")
        return None
    if not np.isfinite(recording.samples).all():
        row.update(status="corrupt", reason="samples that are not finite")
        return None
    pcm = to_int16(recording.samples)
    row.update(
        rms=root_mean_square(to_float32(pcm)),
        peak=float(np.abs(to_float32(pcm)).max()),
        pcm_sha256=pcm_sha256(pcm),
    )
    return pcm


def _decode_patiently(content: bytes, rate_hz: int) -> tuple[Recording, int]:
    """Decode, again where ffmpeg was killed; return the recording and the number of attempts."""
    for attempt in range(1, _MAX_ATTEMPTS):
        try:
            return decode(content, rate_hz=rate_hz), attempt
        except DecoderKilledError:
            continue
    return decode(content, rate_hz=rate_hz), _MAX_ATTEMPTS
