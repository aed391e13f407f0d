"""Tables on disk: Parquet, checked against a schema on the way out and on the way in."""

from collections.abc import Callable, Iterable, Mapping
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


def holds(condition: pl.Expr) -> Callable[[pa.PolarsData], bool]:
    """Return a check that a condition is true in every row of a table, or null.

    It answers with one value. A column of answers, which pandera takes as well, costs seconds and
    hundreds of megabytes in a table of millions of rows.
    """

    def check(data: pa.PolarsData) -> bool:
        return bool(data.lazyframe.select(condition.all()).collect().item())

    return check


def all_differ(values: pl.Series) -> bool:
    """Tell whether no value stands there twice."""
    # If the hashes differ, so do the values; only if two agree need the values be compared.
    return values.hash().n_unique() == len(values) or values.n_unique() == len(values)


def rows_of(values: pl.Series, among: pl.Series) -> pl.Series:
    """Look up many values in a column, in half the time and memory of a join of tables.

    Parameters
    ----------
    values, among : polars.Series
        Of one type; the values of `among` differ, null apart.

    Returns
    -------
    polars.Series of uint32
        For each value the row of `among` that it stands in; null where it is null or not there.
    """
    pairs = _hashes(values, "row").join(_hashes(among, "place"), on="hash", how="inner")
    # Hashes may agree by chance.
    same = values.gather(pairs["row"]) == among.gather(pairs["place"])
    rows = pl.DataFrame({"row": pl.int_range(len(values), dtype=pl.UInt32, eager=True)})
    found = rows.join(pairs.filter(same), on="row", how="left", maintain_order="left")
    return found["place"]


def perhaps_repeated(values: pl.Series) -> pl.Series:
    """Tell of each value whether another one has the same hash; of null, that it is not.

    Where few values are repeated, only these few remain to be compared.
    """
    hashes = (
        values.hash()
        .to_frame("hash")
        .select(pl.when(values.is_not_null()).then("hash").alias("hash"))["hash"]
    )
    in_order = hashes.drop_nulls().sort()
    twice = in_order.filter(in_order == in_order.shift()).unique()
    return hashes.is_in(twice.implode()).fill_null(False)


def _hashes(values: pl.Series, name: str) -> pl.DataFrame:
    """Return the hash and the row of every value, except null."""
    hashes = values.hash().alias("hash").to_frame().with_row_index(name)
    return hashes.filter(values.is_not_null())


def _column_differs(data: pa.PolarsData) -> bool:
    return all_differ(data.lazyframe.select(data.key).collect().to_series())


# The same as a column's `unique`, in a tenth of the time.
DISTINCT = pa.Check(_column_differs, error="values that differ")


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
    return check_table(table_of(rows, schema), schema)


def table_of(rows: Iterable[dict[str, Any]], schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Make a table of rows with the columns of a schema, without checking it."""
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
    return pl.concat(finished, rechunk=True)


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
    # Level 1 takes half the time of the default, and hashes, which are most of it, no more room.
    check_table(table, schema).write_parquet(
        path,
        compression="zstd",
        compression_level=1,
        metadata=None if metadata is None else dict(metadata),
    )


def read_table(path: Path, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """Read a Parquet table and check it.

    Raises
    ------
    BatError
        If the file is absent or damaged, or breaks the schema.
    """
    try:
        # One chunk: joins of tables in many chunks take twice the memory.
        table = pl.read_parquet(path).rechunk()
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
