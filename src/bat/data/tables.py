"""Tables on disk: Parquet, checked against a schema on the way out and on the way in."""

from pathlib import Path

import pandera.errors
import pandera.polars as pa
import polars as pl

from bat.errors import BatError


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


def write_table(table: pl.DataFrame, path: Path, schema: pa.DataFrameSchema) -> None:
    """Write a table as Parquet; the same table gives the same bytes."""
    check_table(table, schema).write_parquet(path, compression="zstd")


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
