"""The ledger: one row per entry of a data set's list, whatever became of it.

No entry is dropped or replaced in silence. A file that cannot be used stays in the ledger with a
status and a reason.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeAlias

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
from bat.data.entries import Entry
from bat.data.shards import PcmWriter
from bat.data.tables import EVENTS, make_table
from bat.errors import BatError

STATUSES = ("ok", "missing", "corrupt", "empty", "short", "silent", "excluded", "duplicate")
# Signs of a bad download or a broken disk. Files that are short, excluded or duplicate are sound.
BAD_STATUSES = ("missing", "corrupt", "empty", "silent")
# Sound files that are of no use for training, but that a standard test set must keep.
OPTIONAL_STATUSES = ("silent", "duplicate")

# ffmpeg may be killed on a machine short of memory; that is no property of the file.
_MAX_ATTEMPTS = 3
# Files decoded or waiting per worker: enough that a long recording holds nobody up for long, and
# few enough that their samples fit in memory.
_LOOK_AHEAD = 4

LEDGER_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, unique=True),
        "part": pa.Column(pl.String),
        "labels": pa.Column(pl.List(pl.String)),  # of the whole recording, as the list has them
        "events": pa.Column(EVENTS),
        "transcript": pa.Column(pl.String, nullable=True),
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

_MEASUREMENTS = ("native_rate_hz", "channels", "duration_s", "rms", "peak", "pcm_sha256")


def build_ledger(
    entries: Iterable[Entry],
    read: Callable[[str], bytes],
    writer: PcmWriter,
    *,
    rate_hz: int,
    minimum_duration_s: float,
    excludes: Collection[str],
    excluded: Mapping[str, str] | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Decode every entry's file once, write down what it is and store the samples of usable ones.

    An entry is, in this order: excluded by name; missing; empty (no bytes, or a container without
    samples); a duplicate of an earlier file, byte for byte; corrupt (undecodable, truncated, or
    with samples that are not finite); silent (all zero in 16 bits); short; a duplicate of an
    earlier recording, sample for sample; or ok. Neither the extension of its name nor its part
    plays a role. The result does not depend on the number of workers.

    Parameters
    ----------
    entries : iterable of Entry
        Consumed a few entries ahead of the row that is being written.
    read : callable
        Return the content of a file of the data set. Called from several threads at once where
        there are several workers.
    writer : PcmWriter
        Receives the PCM of the recordings whose status is "ok", in the order of the entries.
    rate_hz : int
        Rate of the PCM, whose hash the ledger keeps.
    minimum_duration_s : float
        A recording below this is short; 0 takes all.
    excludes : collection of str
        Which of "silent" and "duplicate" take a recording out. Without them such a recording is
        judged like any other: a standard test set is used as it was published.
    excluded : mapping of recording_id to reason, optional
        Recordings that are known to be bad.
    workers : int
        Files that are read and decoded at a time.

    Returns
    -------
    polars.DataFrame
        Rows of `LEDGER_SCHEMA` in the order of the entries.

    Raises
    ------
    DecoderKilledError
        If ffmpeg was killed three times on one file: better no ledger than a wrong one.
    BatError
        If two entries have the same recording_id or one is not printable, if `excludes` names
        something else, or if a file that is there cannot be read.
    """
    unknown = sorted(set(excludes) - set(OPTIONAL_STATUSES))
    if unknown:
        raise BatError(f"ledger: excludes: expected some of {OPTIONAL_STATUSES}, found {unknown}")
    judge = _Judge(minimum_duration_s, excludes)
    reasons = excluded or {}

    def examine(entry: Entry) -> _Examined:
        return _examine(entry, read, reasons.get(entry.recording_id), rate_hz)

    def rows() -> Iterator[dict[str, Any]]:
        for row, pcm in _in_order(examine, _well_named(entries), workers):
            judge(row, pcm)
            if row["status"] == "ok" and pcm is not None:
                writer.add(row["recording_id"], pcm)
            yield row

    return make_table(rows(), LEDGER_SCHEMA)


def counts_by_status(table: pl.DataFrame) -> dict[str, int]:
    """Return the number of files of each status that occurs, in the order of `STATUSES`."""
    counts = dict(table["status"].value_counts().iter_rows())
    return {status: counts[status] for status in STATUSES if status in counts}


def describe(table: pl.DataFrame) -> str:
    """Return the counts by status as one line: "73 files: 70 ok, 3 short"."""
    counts = ", ".join(f"{count} {status}" for status, count in counts_by_status(table).items())
    return f"{table.height} files: {counts or 'none'}"


def check_bad_share(
    table: pl.DataFrame, *, max_bad_share: float, origins: Mapping[str, str] | None = None
) -> None:
    """Refuse a ledger with too many bad files (missing, corrupt, empty or silent).

    Parameters
    ----------
    table : polars.DataFrame
    max_bad_share : float
        Allowed share of bad files among all, in [0, 1].
    origins : mapping of recording_id to str, optional
        Where the data set lists its recordings.

    Raises
    ------
    BatError
        If the share is larger or there is no file at all; the message has the counts by status
        and the first bad file.
    """
    if table.height == 0:
        raise BatError("ledger: expected at least one file, found none")
    bad = table.filter(pl.col("status").is_in(BAD_STATUSES))
    share = bad.height / table.height
    if share > max_bad_share:
        name, status, reason = bad.select("recording_id", "status", "reason").row(0)
        origin = f"{origins[name]}: " if origins and name in origins else ""
        raise BatError(
            f"ledger: {share:.1%} of the files are bad, at most {max_bad_share:.1%} allowed "
            f"({describe(table)}); the first: {origin}{name}: {status}: {reason}"
        )


# A row that lacks nothing but the comparison with other files, and the samples of a usable file.
_Examined: TypeAlias = tuple[dict[str, Any], npt.NDArray[np.int16] | None]


def _well_named(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Pass entries on whose names can stand in tables and messages."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.recording_id
        if not name or not name.isprintable():
            raise BatError(f"ledger: expected a printable recording_id, found {name!r}")
        if name in seen:
            raise BatError(f"ledger: two entries have the recording_id {name}")
        seen.add(name)
        yield entry


def _in_order(
    examine: Callable[[Entry], _Examined], entries: Iterable[Entry], workers: int
) -> Iterator[_Examined]:
    """Examine entries on several threads; yield in the order of the entries, never far ahead.

    Threads are enough, as the work is that of one ffmpeg process per file.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[_Examined]] = deque()
        try:
            for entry in entries:
                pending.append(pool.submit(examine, entry))
                if len(pending) >= _LOOK_AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _examine(
    entry: Entry, read: Callable[[str], bytes], excluded_because: str | None, rate_hz: int
) -> _Examined:
    """Read and decode one file: everything that can be said of it without the others."""
    content = None if entry.file is None else read(entry.file)
    row = _row_before_decoding(entry, content)
    pcm = None
    if excluded_because is not None:
        row.update(status="excluded", reason=excluded_because or "by parameter")
    elif content is None:
        row.update(status="missing", reason="named by the data set, not found")
    elif not content:
        row.update(status="empty", reason="no bytes")
    else:
        pcm = _decode_into(row, content, rate_hz)
    return row, pcm


def _row_before_decoding(entry: Entry, content: bytes | None) -> dict[str, Any]:
    return dict.fromkeys(LEDGER_SCHEMA.columns) | {
        "recording_id": entry.recording_id,
        "part": entry.part,
        "labels": list(entry.labels),
        "events": [asdict(event) for event in entry.events],
        "transcript": entry.transcript,
        "bytes": len(content or b""),
        "sha256": None if content is None else hashlib.sha256(content).hexdigest(),
        "status": "ok",
        "reason": "",
        "attempts": 0,
    }


def _decode_into(row: dict[str, Any], content: bytes, rate_hz: int) -> npt.NDArray[np.int16] | None:
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


class _Judge:
    """Set the status of one file after the other, each in the light of the earlier ones."""

    def __init__(self, minimum_duration_s: float, excludes: Collection[str]) -> None:
        self._minimum_duration_s = minimum_duration_s
        self._excludes = excludes
        self._first_with: dict[str, str] = {}  # hash of bytes or of PCM -> recording_id

    def __call__(self, row: dict[str, Any], pcm: npt.NDArray[np.int16] | None) -> None:
        if row["attempts"] == 0:
            return
        first = self._earlier(row, "sha256")
        if first is not None:
            # What was measured stands in the row of the first one.
            row.update(dict.fromkeys(_MEASUREMENTS), attempts=0)
            row.update(status="duplicate", reason=f"same bytes as {first}")
        elif pcm is not None:
            self._judge_samples(row, pcm)

    def _judge_samples(self, row: dict[str, Any], pcm: npt.NDArray[np.int16]) -> None:
        if "silent" in self._excludes and not pcm.any():
            row.update(status="silent", reason="every sample is zero in 16 bits")
        elif row["duration_s"] < self._minimum_duration_s:
            reason = f"{row['duration_s']:.3f} s, shorter than {self._minimum_duration_s:g} s"
            row.update(status="short", reason=reason)
        elif (first := self._earlier(row, "pcm_sha256")) is not None:
            row.update(status="duplicate", reason=f"same samples as {first}")

    def _earlier(self, row: dict[str, Any], key: str) -> str | None:
        """Return the first recording with this hash; None if it is this one, or nobody minds."""
        if "duplicate" not in self._excludes:
            return None
        first = self._first_with.setdefault(row[key], row["recording_id"])
        return None if first == row["recording_id"] else first
