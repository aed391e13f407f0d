"""The ledger: one row per source file, whatever became of it.

No file is dropped or replaced in silence. A file that cannot be used stays in the ledger with a
status and a reason.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl

from bat.audio.ffmpeg import (
    DecodeError,
    DecoderKilledError,
    EmptyRecordingError,
    Recording,
    decode,
)
from bat.audio.pcm import pcm_sha256, root_mean_square, to_float32, to_int16
from bat.data.sources import SourceFile
from bat.data.tables import check_table
from bat.errors import BatError

STATUSES = ("ok", "missing", "corrupt", "empty", "short", "silent", "excluded", "duplicate")
# Signs of a bad download or a broken disk. Files that are short, excluded or duplicate are sound.
BAD_STATUSES = ("missing", "corrupt", "empty", "silent")

# ffmpeg may be killed on a machine short of memory; that is no property of the file.
_MAX_ATTEMPTS = 3

LEDGER_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, unique=True),
        "meeting": pa.Column(pl.String),
        "speaker": pa.Column(pl.String),
        "bytes": pa.Column(pl.Int64, pa.Check.ge(0)),
        "sha256": pa.Column(pl.String, nullable=True),  # of the file; null where it is missing
        "status": pa.Column(pl.String, pa.Check.isin(STATUSES)),
        "reason": pa.Column(pl.String),  # empty where the status is "ok"
        # From here on null where the file was not decoded. RMS, peak (of full scale) and hash are
        # those of the resampled 16-bit PCM, the form in which every later stage has the recording.
        "native_rate_hz": pa.Column(pl.Int64, pa.Check.gt(0), nullable=True),
        "channels": pa.Column(pl.Int64, pa.Check.gt(0), nullable=True),
        "duration_s": pa.Column(pl.Float64, pa.Check.gt(0), nullable=True),
        "rms": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
        "peak": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True),
        "pcm_sha256": pa.Column(pl.String, nullable=True),
        "attempts": pa.Column(pl.Int64, pa.Check.ge(0)),
    },
    checks=pa.Check(
        lambda data: data.lazyframe.select((pl.col("status") == "ok") == (pl.col("reason") == "")),
        error="exactly the rows with status ok have an empty reason",
    ),
    strict=True,
    ordered=True,
    name="ledger",
)


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A ledger and the waveforms that were decoded for it.

    Attributes
    ----------
    table : polars.DataFrame
        Rows of `LEDGER_SCHEMA` in the order of the source files.
    pcm : dict of str to array of int16, [samples]
        16-bit PCM of the recordings whose status is "ok", by recording.
    """

    table: pl.DataFrame
    pcm: dict[str, npt.NDArray[np.int16]]


def build_ledger(
    sources: Iterable[SourceFile],
    *,
    rate_hz: int = 16_000,
    min_duration_s: float = 1.0,
    excluded: Mapping[str, str] | None = None,
) -> Ledger:
    """Decode every source file once and write down what it is.

    A file is, in this order: excluded by name; missing; empty (no bytes, or a container without
    samples); a duplicate of an earlier file, byte for byte; corrupt (undecodable, truncated, or
    with samples that are not finite); silent (all zero in 16 bits); short; a duplicate of an
    earlier file, sample for sample; or ok. The extension of its name plays no part.

    Parameters
    ----------
    sources : iterable of SourceFile
    rate_hz : int
        Rate of the PCM, whose hash the ledger keeps.
    min_duration_s : float
        A recording below this is short.
    excluded : mapping of recording_id to reason, optional

    Raises
    ------
    DecoderKilledError
        If ffmpeg was killed three times on one file: better no ledger than a wrong one.
    BatError
        If two source files have the same recording_id.
    """
    rows: list[dict[str, Any]] = []
    pcm: dict[str, npt.NDArray[np.int16]] = {}
    first_with: dict[str, str] = {}  # hash of bytes or of PCM -> recording_id
    for source in sources:
        row = _row_before_decoding(source, excluded or {}, first_with)
        if row["status"] == "ok":
            samples = _decode_into(row, source, rate_hz)
            if samples is not None:
                _judge(row, samples, min_duration_s, first_with)
            if samples is not None and row["status"] == "ok":
                pcm[source.recording_id] = samples
        rows.append(row)
    table = pl.DataFrame(rows, schema=_polars_schema())
    return Ledger(table=check_table(table, LEDGER_SCHEMA), pcm=pcm)


def counts_by_status(table: pl.DataFrame) -> dict[str, int]:
    """Return the number of files of each status that occurs, in the order of `STATUSES`."""
    counts = dict(table["status"].value_counts().iter_rows())
    return {status: counts[status] for status in STATUSES if status in counts}


def describe(table: pl.DataFrame) -> str:
    """Return the counts by status as one line: "73 files: 70 ok, 3 short"."""
    counts = ", ".join(f"{count} {status}" for status, count in counts_by_status(table).items())
    return f"{table.height} files: {counts or 'none'}"


def check_bad_share(table: pl.DataFrame, *, max_bad_share: float) -> None:
    """Refuse a ledger with too many bad files (missing, corrupt, empty or silent).

    Parameters
    ----------
    table : polars.DataFrame
    max_bad_share : float
        Allowed share of bad files among all, in [0, 1].

    Raises
    ------
    BatError
        If the share is larger or there is no file at all; the message has the counts by status.
    """
    if table.height == 0:
        raise BatError("ledger: expected at least one file, found none")
    share = table["status"].is_in(BAD_STATUSES).sum() / table.height
    if share > max_bad_share:
        raise BatError(
            f"ledger: {share:.1%} of the files are bad, at most {max_bad_share:.1%} allowed "
            f"({describe(table)})"
        )


def _polars_schema() -> dict[str, pl.DataType]:
    return {name: column.dtype.type for name, column in LEDGER_SCHEMA.columns.items()}


def _row_before_decoding(
    source: SourceFile, excluded: Mapping[str, str], first_with: dict[str, str]
) -> dict[str, Any]:
    """Start a file's row; its status is "ok" if the file is worth decoding."""
    content = source.content
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    row = dict.fromkeys(LEDGER_SCHEMA.columns) | {
        "recording_id": source.recording_id,
        "meeting": source.meeting,
        "speaker": source.speaker,
        "bytes": len(content or b""),
        "sha256": sha256,
        "status": "ok",
        "reason": "",
        "attempts": 0,
    }
    if source.recording_id in excluded:
        row.update(status="excluded", reason=excluded[source.recording_id] or "by parameter")
    elif sha256 is None:
        row.update(status="missing", reason="named by the data set, not found")
    elif not content:
        row.update(status="empty", reason="no bytes")
    elif sha256 in first_with:
        row.update(status="duplicate", reason=f"same bytes as {first_with[sha256]}")
    else:
        first_with[sha256] = source.recording_id
    return row


def _decode_into(
    row: dict[str, Any], source: SourceFile, rate_hz: int
) -> npt.NDArray[np.int16] | None:
    """Decode a file, fill in the row's measurements and return its PCM, None if it is unusable."""
    assert source.content is not None
    try:
        recording, row["attempts"] = _decode_patiently(source.content, rate_hz)
    except DecodeError as error:
        status = "empty" if isinstance(error, EmptyRecordingError) else "corrupt"
        row.update(status=status, reason=str(error), attempts=1)
        return None
    row.update(
        native_rate_hz=recording.native_rate_hz,
        channels=recording.channels,
        duration_s=recording.duration_s,
    )
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


def _judge(
    row: dict[str, Any],
    pcm: npt.NDArray[np.int16],
    min_duration_s: float,
    first_with: dict[str, str],
) -> None:
    """Set the status of a decoded file."""
    if not pcm.any():
        row.update(status="silent", reason="every sample is zero in 16 bits")
    elif row["duration_s"] < min_duration_s:
        reason = f"{row['duration_s']:.3f} s, shorter than {min_duration_s:g} s"
        row.update(status="short", reason=reason)
    elif row["pcm_sha256"] in first_with:
        row.update(status="duplicate", reason=f"same samples as {first_with[row['pcm_sha256']]}")
    else:
        first_with[row["pcm_sha256"]] = row["recording_id"]
