"""BirdSet: bird sounds; here a subset such as HSN, the High Sierra Nevada, 21 species.

::

    HSN_metadata_train.parquet      filepath, ebird_code, ebird_code_multilabel, ...
    HSN_metadata_test_5s.parquet    the same columns
    .../<filepath>                  OGG, 32 kHz, at any depth

Published at https://huggingface.co/datasets/DBD-research-group/BirdSet (Rauch et al., 2025), with
the OGG files in tar archives, to be unpacked beside the tables. Training recordings are whole
recordings of one bird in the foreground, from xeno-canto; test recordings are soundscapes, cut
into files of 5 s that may have several birds or none. The tables say in start_time and end_time
where in a soundscape a bird called; the files are cut already, so these are not read.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import read_lines, root_of
from bat.data.sources import Source
from bat.errors import BatError

_CODE, _CODES = "ebird_code", "ebird_code_multilabel"


def read(
    source: Source,
    *,
    train: str = "HSN_metadata_train.parquet",
    test: str = "HSN_metadata_test_5s.parquet",
    classes: str | None = None,
) -> Listing:
    """List the recordings of the parts train and test under their file names.

    The labels of a recording are its ebird_code_multilabel; where that is null or the table has
    no such column, its ebird_code.

    Parameters
    ----------
    source : Source
    train, test : str
        Names of the tables.
    classes : str, optional
        Name of a text file with one eBird code a line, in the order of the classes; without it,
        the codes that occur, sorted.

    Raises
    ------
    BatError
        If a table is absent, damaged or lacks a column, a row of it has no file name, a file name
        is there twice, or a code is not among the classes.
    """
    files = _files_by_name(source)
    entries = [*_entries(source, train, "train", files), *_entries(source, test, "test", files)]
    occurring = {code for entry in entries for code in entry.labels}
    if classes is None:
        return Listing.of(entries, classes=tuple(sorted(occurring)), order="birdset/sorted")
    known = [row["text"] for row in read_lines(source, root_of(source, classes) + classes)]
    unknown = sorted(occurring - set(known))
    if unknown:
        raise BatError(f"{classes}: expected all codes of the tables, {unknown[0]!r} is not there")
    return Listing.of(entries, classes=tuple(known), order=f"birdset/{classes}")


def _entries(source: Source, table: str, part: str, files: dict[str, str]) -> Iterator[Entry]:
    """Read a table; its rows are named as a spreadsheet would number them, the header being 1."""
    first_row: dict[str, int] = {}
    for number, row in enumerate(_rows(source, table), start=2):
        name = PurePosixPath(row["filepath"] or "").name
        if not name:
            raise BatError(f"{table}, row {number}: expected a filepath, found none")
        if name in first_row:
            raise BatError(f"{table}, row {number}: {name!r} is already in row {first_row[name]}")
        first_row[name] = number
        yield Entry(
            recording_id=PurePosixPath(name).stem,
            part=part,
            file=files.get(name),
            labels=_labels(row, f"{table}, row {number}"),
        )


def _rows(source: Source, table: str) -> Iterator[dict[str, Any]]:
    content = source.read(root_of(source, table) + table)
    try:
        rows = pl.read_parquet(io.BytesIO(content))
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).splitlines()[0]
        raise BatError(f"{table}: expected a Parquet table, found: {first_line}") from error
    _check_columns(rows, table)
    columns = [name for name in ("filepath", _CODE, _CODES) if name in rows.columns]
    return rows.select(columns).iter_rows(named=True)


def _check_columns(rows: pl.DataFrame, table: str) -> None:
    """Codes must be text: numbers are ids of an order of classes that the table does not give."""
    expected = {"filepath": pl.String, _CODE: pl.String, _CODES: pl.List(pl.String)}
    if "filepath" not in rows.columns or not {_CODE, _CODES} & set(rows.columns):
        raise BatError(
            f"{table}: expected the columns filepath and {_CODE} or {_CODES}, "
            f"found {', '.join(rows.columns)}"
        )
    for name, kind in expected.items():
        found = rows.schema.get(name, kind)
        # A column that is null throughout has no type of its own.
        if found not in (kind, pl.Null, pl.List(pl.Null)):
            raise BatError(f"{table}: expected {name} as {kind}, found {found}")


def _labels(row: dict[str, Any], where: str) -> tuple[str, ...]:
    codes: Sequence[str | None] | None = row.get(_CODES)
    if codes is None:
        codes = [] if row.get(_CODE) is None else [row[_CODE]]
    labels = tuple(dict.fromkeys(code for code in codes if code))
    if len(labels) < len(codes):
        raise BatError(f"{where}: expected codes, each once, found {list(codes)}")
    return labels


def _files_by_name(source: Source) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in source.names:
        name = PurePosixPath(path).name
        if not name.endswith(".ogg"):
            continue
        if name in files:
            raise BatError(f"birdset: expected one file {name!r}, found {files[name]} and {path}")
        files[name] = path
    return files
