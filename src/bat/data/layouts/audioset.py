"""AudioSet: excerpts of 10 s from YouTube, 527 classes, several per clip.

::

    class_labels_indices.csv            index,mid,display_name
    balanced_train_segments.csv         three lines of comments, then rows without a header:
    unbalanced_train_segments.csv       YTID, start_seconds, end_seconds, "mid,mid,..."
    eval_segments.csv
    audio/<part>/.../Y<YTID>.wav        or <YTID>.wav, or .flac, at any depth, for the parts
                                        balanced_train, unbalanced_train and eval

The lists are published at https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv
(Gemmeke et al., 2017); the audio is not, and no copy of it is complete.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from bat.data.entries import ENTRY_SCHEMA, Listing, repeated
from bat.data.layouts.lists import Row, read_csv, read_headless_csv, root_of
from bat.data.sources import Source, column_of
from bat.data.tables import EVENTS, all_differ
from bat.errors import BatError

_PARTS = ("balanced_train", "unbalanced_train", "eval")
_ORDERS = ("index", "alphabetical")
_LABELS = "class_labels_indices.csv"
_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
YOUTUBE_SUFFIX = ".youtube"  # a container of YouTube's own choice
_EXTENSIONS = (".wav", ".flac", YOUTUBE_SUFFIX)
_ID_CHARACTERS = 11


def read(source: Source, *, parts: Sequence[str] = _PARTS, order: str = "index") -> Listing:
    """List the clips of some parts under their YouTube ids.

    Parameters
    ----------
    source : Source
    parts : sequence of str
        Which of balanced_train, unbalanced_train and eval.
    order : str
        Of the classes: "index", that of `class_labels_indices.csv`, or "alphabetical" by display
        name. Both are in use and agree in hardly a place, so a trained head has one or the other.

    Raises
    ------
    BatError
        If a list is absent, a row of it is wrong, a clip is in two parts or has two files, or
        `parts` or `order` is not one of those above.
    """
    _check_parts(parts)
    if order not in _ORDERS:
        raise BatError(f"audioset: expected order to be index or alphabetical, found {order!r}")
    root = root_of(source, _LABELS)
    name_of = _display_names(source, root)
    names = column_of(source.names).alias("file").to_frame()
    entries = pl.concat([_clips(source, root, part, name_of, names) for part in parts])
    _check_parts_differ(entries)
    classes = name_of.values() if order == "index" else sorted(name_of.values())
    return Listing(entries=entries.rechunk(), classes=tuple(classes), order=f"audioset/{order}")


def excerpts(source: Source, *, parts: Sequence[str] = _PARTS) -> pl.DataFrame:
    """Return which stretch of its video each clip is.

    Parameters
    ----------
    source : Source
        It needs to hold nothing but the lists.
    parts : sequence of str
        Which of balanced_train, unbalanced_train and eval.

    Returns
    -------
    polars.DataFrame
        Columns recording_id (the YouTube id), part, start_s and end_s, in the order of the lists.

    Raises
    ------
    BatError
        If a list is absent or a row of it is wrong, such as one that does not end after it starts.
    """
    _check_parts(parts)
    root = root_of(source, _LABELS)
    return pl.concat([_excerpts(source, root, part) for part in parts])


def _check_parts(parts: Sequence[str]) -> None:
    if not parts or not set(parts) <= set(_PARTS) or len(set(parts)) < len(parts):
        raise BatError(f"audioset: expected parts among {', '.join(_PARTS)}, found {list(parts)}")


def _check_parts_differ(entries: pl.DataFrame) -> None:
    twice = repeated(entries["recording_id"])
    if twice is not None:
        one, other = entries.filter(recording_id=twice)["part"].head(2)
        raise BatError(f"audioset: {twice} is in {one} and in {other}")


def _display_names(source: Source, root: str) -> dict[str, str]:
    """Return the display name of each machine id, in the order of the index."""
    rows = list(
        read_csv(source, root + _LABELS, ("index", "mid", "display_name"), key="display_name")
    )
    rows.sort(key=lambda row: row.integer("index"))
    name_of: dict[str, str] = {}
    for position, row in enumerate(rows):
        if row.integer("index") != position or row["mid"] in name_of:
            raise row.error(f"expected every index from 0 and every mid once, found {row.fields}")
        name_of[row["mid"]] = row["display_name"]
    return name_of


def _clips(
    source: Source, root: str, part: str, name_of: dict[str, str], names: pl.DataFrame
) -> pl.DataFrame:
    """Return the entries of one part."""
    segments = _segments(source, root, part).lazy()
    mid = pl.element().str.strip_chars()
    name = mid.replace_strict(list(name_of), list(name_of.values()), default=None)
    clips = segments.select(
        recording_id="YTID", labels=pl.col("positive_labels").str.split(",").list.eval(name)
    ).collect()
    if clips["labels"].list.eval(pl.element().is_null()).list.any().any():
        raise _first_wrong(source, root, part, lambda row: _unknown_label(row, name_of))
    if (clips["labels"].list.n_unique() < clips["labels"].list.len()).any():
        clips = clips.with_columns(pl.col("labels").list.unique(maintain_order=True))
    files = _files_by_id(names, f"{root}audio/{part}/")
    return (
        clips.join(files, on="recording_id", how="left", maintain_order="left")
        .with_columns(
            part=pl.lit(part),
            events=pl.lit([], EVENTS),
            transcript=pl.lit(None, pl.String),
            origin=pl.lit(None, pl.String),
        )
        .select(*ENTRY_SCHEMA.columns)
    )


def _unknown_label(row: Row, name_of: dict[str, str]) -> str | None:
    mids = [mid.strip() for mid in row["positive_labels"].split(",")]
    unknown = next((mid for mid in mids if mid not in name_of), None)
    return None if unknown is None else f"expected labels of {_LABELS}, found {unknown!r}"


def _excerpts(source: Source, root: str, part: str) -> pl.DataFrame:
    segments = _segments(source, root, part)
    start_s, end_s = (
        pl.col(name).cast(pl.Float64, strict=False) for name in ("start_seconds", "end_seconds")
    )
    found = segments.select(recording_id="YTID", part=pl.lit(part), start_s=start_s, end_s=end_s)
    lasting = (pl.col("start_s") >= 0) & (pl.col("end_s") > pl.col("start_s"))
    if not found.select((lasting & pl.col("end_s").is_finite()).fill_null(False).all()).item():
        raise _first_wrong(source, root, part, _wrong_times)
    return found


def _wrong_times(row: Row) -> str | None:
    start, end = row["start_seconds"], row["end_seconds"]
    try:
        lasting = 0 <= float(start) < float(end) < math.inf
    except ValueError:
        lasting = False
    return None if lasting else f"expected 0 <= start < end in seconds, found {start}, {end}"


def _segments(source: Source, root: str, part: str) -> pl.DataFrame:
    """Return the rows of a list as text in `_COLUMNS`, whose order is that of the list."""
    table = _published_segments(source, f"{root}{part}_segments.csv")
    if table is not None:
        return table
    rows = [row.fields for row in _rows(source, root, part)]
    return pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String))


def _rows(source: Source, root: str, part: str) -> Iterator[Row]:
    return read_headless_csv(source, f"{root}{part}_segments.csv", _COLUMNS, key="YTID")


def _published_segments(source: Source, name: str) -> pl.DataFrame | None:
    """Read a list at once if it has the very form in which it is published, otherwise None.

    Reading two million rows one by one takes half a minute. That is how any other form is read,
    and how what is wrong with a list is found.
    """
    if name not in source.names:
        return None
    # Lists are a hundred megabytes: no more copies than necessary.
    content = source.read(name).replace(b", ", b",")
    lines = content.count(b"\n") + (not content.endswith(b"\n")) - _comments(content)
    try:
        table = pl.read_csv(
            io.BytesIO(content),
            has_header=False,
            comment_prefix="#",
            schema=dict.fromkeys(_COLUMNS, pl.String),
        )
    except pl.exceptions.PolarsError:
        return None
    del content
    *single, several = (pl.col(column) for column in _COLUMNS)
    plain = pl.all_horizontal(
        *(column.str.contains(r'^[^,"\s]+$') for column in single),
        several.str.contains(r'^[^"\s]+$'),
    )
    whole = table.height == lines and table.select(plain.fill_null(False).all()).item()
    return table if whole and all_differ(table["YTID"]) else None


def _comments(content: bytes) -> int:
    """Count the lines of comments at the head of a list."""
    comments, start = 0, 0
    while content.startswith(b"#", start):
        comments, start = comments + 1, content.find(b"\n", start) + 1 or len(content)
    return comments


def _first_wrong(
    source: Source, root: str, part: str, problem_of: Callable[[Row], str | None]
) -> BatError:
    """Return, not raise, the error about the first row that has a problem."""
    for row in _rows(source, root, part):
        problem = problem_of(row)
        if problem is not None:
            return row.error(problem)
    raise AssertionError(f"{part}: no row is wrong, but the whole list is")


def _files_by_id(names: pl.DataFrame, folder: str) -> pl.DataFrame:
    """Return the recording_id of each file in a folder."""
    file, stem = pl.col("file"), pl.col("recording_id")
    ends = [file.str.ends_with(extension) for extension in _EXTENSIONS]
    # An id may itself begin with "Y", but always has eleven characters.
    prefixed = (stem.str.len_bytes() == _ID_CHARACTERS + 1) & stem.str.starts_with("Y")
    files = (
        names.lazy()
        .filter(file.str.starts_with(folder) & pl.any_horizontal(ends))
        .with_columns(recording_id=file.str.split("/").list.last().str.replace(r"\.[a-z]+$", ""))
        .with_columns(pl.when(prefixed).then(stem.str.slice(1)).otherwise(stem))
        .collect()
    )
    twice = repeated(files["recording_id"])
    if twice is not None:
        one, other = files.filter(recording_id=twice)["file"].head(2)
        raise BatError(f"audioset: expected one file a clip, found {one} and {other}")
    return files
