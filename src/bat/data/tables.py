"""Tables on disk: Parquet, checked against a schema on the way out and on the way in."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandera.errors
import pandera.polars as pa
import polars as pl

from bat.errors import BatError

# Events of a recording or a clip, in seconds from its start (see `bat.data.entries.Event`).
EVENTS = pl.List(pl.Struct({"label": pl.String, "onset_s": pl.Float64, "offset_s": pl.Float64}))

# Rows that are plain Python objects at a time: a table's columns take a tenth of their memory.
_ROWS_AT_A_TIME = 10_000


def check_table(table: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Return the table if it satisfies the schema.

    Raises
    ------
    BatError
        If it does not, with the first violation.
    """
    try:
        return schema.validate(table)
    except pandera.errors.SchemaError as error:
        first_line = str(error).splitlines()[0]
        raise BatError(f"{schema.name}: {first_line}") from error


def make_table(rows: Iterable[dict[str, Any]], schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Make a table of rows, which may come one after the other from long work.

    Raises
    ------
    BatError
        If the table breaks the schema.
    """
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    finished = [pl.DataFrame(schema=types)]
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS_AT_A_TIME:
            finished.append(pl.DataFrame(waiting, schema=types))
            waiting = []
    finished.append(pl.DataFrame(waiting, schema=types))
    # One chunk, as in a table that was made at once: the bytes on disk depend on it.
    return check_table(pl.concat(finished, rechunk=True), schema)


def write_table(
    table: pl.DataFrame,
    path: Path,
    schema: pa.DataFrameSchema,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a table as Parquet; the same table gives the same bytes.

    Parameters
    ----------
    table : polars.DataFrame
    path : Path
    schema : pandera.polars.DataFrameSchema
    metadata : mapping of str to str, optional
        What the file says beside its rows.

    Raises
    ------
    BatError
        If the table breaks the schema.
    """
    check_table(table, schema).write_parquet(
        path, compression="zstd", metadata=None if metadata is None else dict(metadata)
    )


def read_table(path: Path, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Read a Parquet table and check it.

    Raises
    ------
    BatError
        If the file is absent or damaged, or breaks the schema.
    """
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).splitlines()[0]
        raise BatError(f"{path}: expected a Parquet table, found: {first_line}") from error
    return check_table(table, schema)


def read_metadata(path: Path, key: str) -> str:
    """Return what a Parquet file says under a key beside its rows.

    Raises
    ------
    BatError
        If the file is absent or damaged, or says nothing of the kind.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).splitlines()[0]
        raise BatError(f"{path}: expected a Parquet table, found: {first_line}") from error
    if key not in metadata:
        raise BatError(f"{path}: expected {key!r} in the metadata, found {sorted(metadata)}")
    return metadata[key]
