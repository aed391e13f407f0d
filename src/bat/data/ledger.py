"""The ledger: one row per entry of a data set's list, whatever became of it.

No entry is dropped or replaced in silence. A file that cannot be used stays in the ledger with a
status and a reason.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import pandera.polars as pa
import polars as pl

from bat.data.entries import repeated, unprintable
from bat.data.pcm_store import PCM_INDEX_SCHEMA, PcmWriter
from bat.data.recordings import NOT_FOUND, RECORDINGS_SCHEMA, Found, measure_all, measured_columns
from bat.data.tables import (
    DISTINCT,
    EVENTS,
    check_table,
    holds,
    make_table,
    perhaps_repeated,
    rows_of,
)
from bat.errors import BatError
from bat.progress import track

_LOG = logging.getLogger(__name__)

STATUSES = (
    *("ok", "missing", "private", "removed", "corrupt", "empty", "short", "silent"),
    *("excluded", "duplicate"),
)
# Signs of a bad download, a broken disk or a recording that is gone. Files that are short, excluded
# or duplicate are sound.
BAD_STATUSES = ("missing", "private", "removed", "corrupt", "empty", "silent")
# Sound files that are of no use for training, but that a standard test set must keep.
OPTIONAL_STATUSES = ("silent", "duplicate")

LEDGER_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, DISTINCT),
        "part": pa.Column(pl.String),
        "labels": pa.Column(pl.List(pl.String)),  # of the whole recording, as the list has them
        "events": pa.Column(EVENTS),
        "transcript": pa.Column(pl.String, nullable=True),
        "archive": pa.Column(pl.String, nullable=True),  # the published file that had it
        "bytes": pa.Column(pl.Int64, pa.Check.ge(0)),
        "sha256": pa.Column(pl.String, nullable=True),  # of the file; null where it is missing
        "status": pa.Column(pl.String, pa.Check.isin(STATUSES)),
        "reason": pa.Column(pl.String),  # empty where the status is "ok"
        **measured_columns(),
    },
    checks=pa.Check(
        holds((pl.col("status") == "ok") == (pl.col("reason") == "")),
        error="exactly the rows with status ok have an empty reason",
    ),
    strict=True,
    ordered=True,
    name="ledger",
)

_OF_ENTRY = ("recording_id", "part", "labels", "events", "transcript")
_OF_FILE = tuple(name for name in LEDGER_SCHEMA.columns if name not in _OF_ENTRY)
_MEASUREMENTS = ("native_rate_hz", "channels", "duration_s", "rms", "peak", "pcm_sha256")
_IS_OK = pl.col("status") == "ok"


def build_ledger(
    entries: pl.DataFrame,
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

    The result does not depend on the number of workers.

    Parameters
    ----------
    entries : polars.DataFrame
        Rows of `bat.data.entries.ENTRY_SCHEMA`.
    read : callable
        Return the content of a file of the data set. Called from several threads at once where
        there are several workers.
    writer : PcmWriter
        Receives the PCM of every file that can be decoded, in the order of the entries; its index
        lists the recordings whose status is "ok".
    rate_hz : int
        Rate of the PCM, whose hash the ledger keeps.
    minimum_duration_s, excludes, excluded
        See `account`. Recordings that are excluded by name are not decoded.
    workers : int
        Files that are read and decoded at a time.

    Returns
    -------
    polars.DataFrame
        Rows of `LEDGER_SCHEMA` in the order of the entries.

    Raises
    ------
    DecoderKilledError
        If the decoder was killed three times on one file: better no ledger than a wrong one.
    BatError
        For the reasons of `account`, or if a file that is there cannot be read.
    """
    _check_excludes(excludes)
    _check_names(entries["recording_id"])
    files = track(_files(entries, read, excluded or {}), "decoding recordings", entries.height)
    rows = measure_all(files, writer, rate_hz=rate_hz, workers=workers)
    recordings = make_table(rows, RECORDINGS_SCHEMA)
    ledger = account(
        entries,
        recordings,
        minimum_duration_s=minimum_duration_s,
        excludes=excludes,
        excluded=excluded,
    )
    writer.list_only(pcm_index(ledger, recordings, rate_hz=rate_hz))
    return ledger


def account(
    entries: pl.DataFrame,
    recordings: pl.DataFrame,
    *,
    minimum_duration_s: float,
    excludes: Collection[str],
    excluded: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Say of every entry of a data set's list what became of it.

    An entry is, in this order: excluded by name; missing; private or removed; empty (no bytes, or
    a container without samples); a duplicate of an earlier file, byte for byte; corrupt
    (undecodable, truncated, or with samples that are not finite); silent (all zero in 16 bits);
    short; a duplicate of an earlier recording, sample for sample; or ok. "Earlier" is by the order
    of the entries. Neither the extension of its name nor its part plays a role.

    Parameters
    ----------
    entries : polars.DataFrame
        Rows of `bat.data.entries.ENTRY_SCHEMA`.
    recordings : polars.DataFrame
        Rows of `bat.data.recordings.RECORDINGS_SCHEMA`, in any order. An entry whose file has none
        is missing. A recording that no entry names is told of in the log.
    minimum_duration_s : float
        A recording below this is short; 0 takes all.
    excludes : collection of str
        Which of "silent" and "duplicate" take a recording out. Without them such a recording is
        judged like any other: a standard test set is used as it was published.
    excluded : mapping of recording_id to reason, optional
        Recordings that are known to be bad.

    Returns
    -------
    polars.DataFrame
        Rows of `LEDGER_SCHEMA` in the order of the entries.

    Raises
    ------
    BatError
        If two entries have the same recording_id or one is not printable, or if `excludes` names
        something else.
    """
    _check_excludes(excludes)
    _check_names(entries["recording_id"])
    places = rows_of(entries["file"], recordings["file"])
    if (unlisted := recordings.height - places.n_unique() + places.has_nulls()) > 0:
        _LOG.info("%d files of the source are not in the data set's list", unlisted)
    found = recordings.select(pl.col(_OF_FILE).gather(places))
    rows = pl.concat([entries.select(_OF_ENTRY), found], how="horizontal").with_columns(
        pl.col("bytes", "attempts").fill_null(0), **_alone(excluded or {})
    )
    judged = _judged(rows, minimum_duration_s, excludes)
    return check_table(judged.select(*LEDGER_SCHEMA.columns), LEDGER_SCHEMA)


def pcm_index(ledger: pl.DataFrame, recordings: pl.DataFrame, *, rate_hz: int) -> pl.DataFrame:
    """Say where the PCM of the usable recordings of a ledger lies.

    Parameters
    ----------
    ledger : polars.DataFrame
        Rows of `LEDGER_SCHEMA`.
    recordings : polars.DataFrame
        Rows of `bat.data.recordings.RECORDINGS_SCHEMA`, of which the ledger was made.
    rate_hz : int
        Rate of the PCM.

    Returns
    -------
    polars.DataFrame
        Rows of `bat.data.pcm_store.PCM_INDEX_SCHEMA` in the order of the ledger. Recordings of the
        same samples may share one place.

    Raises
    ------
    BatError
        If a usable recording was not stored.
    """
    ok = ledger.select("status", "recording_id", "pcm_sha256").filter(_IS_OK)
    places = rows_of(ok["pcm_sha256"], _without_repetitions(recordings["pcm_sha256"]))
    if places.has_nulls():
        lost = ok.filter(places.is_null())["recording_id"]
        raise BatError(f"ledger: the samples of {len(lost)} recordings are not stored: {lost[0]}")
    index = pl.concat(
        [ok.select("recording_id"), recordings.select(pl.col("offset", "samples").gather(places))],
        how="horizontal",
    ).with_columns(rate_hz=pl.lit(rate_hz, pl.Int64))
    return check_table(index, PCM_INDEX_SCHEMA)


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
    """Refuse a ledger with too many bad files (see `BAD_STATUSES`).

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


def _check_excludes(excludes: Collection[str]) -> None:
    unknown = sorted(set(excludes) - set(OPTIONAL_STATUSES))
    if unknown:
        raise BatError(f"ledger: excludes: expected some of {OPTIONAL_STATUSES}, found {unknown}")


def _check_names(names: pl.Series) -> None:
    """Refuse names that cannot stand in tables and messages."""
    odd = "" if (names == "").any() else unprintable(names)
    if odd is not None:
        raise BatError(f"ledger: expected a printable recording_id, found {odd!r}")
    twice = repeated(names)
    if twice is not None:
        raise BatError(f"ledger: two entries have the recording_id {twice}")


def _files(
    entries: pl.DataFrame, read: Callable[[str], bytes], excluded: Mapping[str, str]
) -> Iterator[Found]:
    """Yield the files that entries name, each once; those of excluded entries alone are marked."""
    by_name = pl.col("recording_id").is_in(list(excluded))
    files = entries.group_by("file", maintain_order=True).agg(by_name.all().alias("excluded"))
    for file, is_excluded in files.drop_nulls("file").iter_rows():
        yield Found(
            file=file,
            content=partial(read, file),
            problem=("excluded", "by parameter") if is_excluded else None,
        )


def _alone(excluded: Mapping[str, str]) -> dict[str, pl.Expr]:
    """Return status and reason of an entry as far as its own file decides on them."""
    reasons = {name: reason or "by parameter" for name, reason in excluded.items()}
    by_name = pl.col("recording_id").replace_strict(
        list(reasons), list(reasons.values()), default=None, return_dtype=pl.String
    )
    is_excluded, status = by_name.is_not_null(), pl.col("status")
    return {
        "status": pl.when(is_excluded)
        .then(pl.lit("excluded"))
        .otherwise(status.fill_null("missing")),
        "reason": pl.coalesce(by_name, "reason", pl.lit(NOT_FOUND)),
    }


def _judged(
    rows: pl.DataFrame, minimum_duration_s: float, excludes: Collection[str]
) -> pl.DataFrame:
    """Change status and reason of rows in the light of the parameters and of earlier rows."""
    rows = rows.with_row_index("row")
    copies = _repetitions(rows, ("ok", "corrupt"), "sha256", "bytes", excludes)
    verdicts = [copies, _silent(rows, excludes), _short(rows, minimum_duration_s)]
    rows = _with(rows, pl.concat(verdicts).unique("row", keep="first", maintain_order=True))
    # Only what is left is compared by its samples.
    rows = _with(rows, _repetitions(rows, ("ok",), "pcm_sha256", "samples", excludes))
    # What was measured stands in the row of the first one.
    measured = ~pl.col("row").is_in(copies["row"].implode()) & (pl.col("status") != "excluded")
    return rows.with_columns(
        pl.when(measured).then(pl.col(*_MEASUREMENTS)),
        attempts=pl.when(measured).then("attempts").otherwise(0),
    )


def _with(rows: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Replace the verdicts on some rows."""
    return rows.with_columns(
        rows[name].clone().scatter(verdicts["row"], verdicts[name]) for name in ("status", "reason")
    )


def _silent(rows: pl.DataFrame, excludes: Collection[str]) -> pl.DataFrame:
    silent = (pl.col("peak") == 0) & pl.lit("silent" in excludes)
    return (
        rows.select("row", "status", "peak")
        .filter(_IS_OK & silent)
        .select("row", status=pl.lit("silent"), reason=pl.lit("every sample is zero in 16 bits"))
    )


def _short(rows: pl.DataFrame, minimum_duration_s: float) -> pl.DataFrame:
    lengths = rows.select("row", "status", "duration_s")
    short = lengths.filter(_IS_OK & (pl.col("duration_s") < minimum_duration_s))
    reasons = [
        f"{duration_s:.3f} s, shorter than {minimum_duration_s:g} s"
        for duration_s in short["duration_s"]
    ]
    return short.select("row", status=pl.lit("short"), reason=pl.Series(reasons, dtype=pl.String))


def _repetitions(
    rows: pl.DataFrame, statuses: Sequence[str], key: str, what: str, excludes: Collection[str]
) -> pl.DataFrame:
    """Return the verdicts on rows that repeat an earlier one, among those of some statuses."""
    if "duplicate" not in excludes:
        statuses = ()
    values = rows.select(pl.when(pl.col("status").is_in(statuses)).then(key)).to_series()
    first = (
        rows.select("row", "recording_id", key)
        .filter(perhaps_repeated(values))
        .with_columns(pl.col("row", "recording_id").first().over(key).name.prefix("first_"))
    )
    return first.filter(pl.col("row") != pl.col("first_row")).select(
        "row",
        status=pl.lit("duplicate"),
        reason=pl.format("same {} as {}", pl.lit(what), "first_recording_id"),
    )


def _without_repetitions(values: pl.Series) -> pl.Series:
    """Put null in the place of every value that stands there before."""
    several = values.to_frame("value").with_row_index("row").filter(perhaps_repeated(values))
    later = several.filter(~pl.col("value").is_first_distinct())["row"]
    return values.clone().scatter(later, None)
