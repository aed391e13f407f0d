"""Read the lists of a data set, naming file and line of whatever is wrong."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bat.data.sources import Source, column_of
from bat.errors import BatError

Record = tuple[int, list[str]]  # line number, counted from 1, and fields


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a list.

    Attributes
    ----------
    origin : str
        Name of the list.
    line : int
        Counted from 1.
    fields : dict of str to str
        By column; none is empty.
    """

    origin: str
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def error(self, problem: str) -> BatError:
        """Return, not raise, the error that names this row."""
        return line_error(self.origin, self.line, problem)

    def integer(self, column: str) -> int:
        """Return a field as a whole number; BatError if it is none."""
        try:
            return int(self[column])
        except ValueError:
            raise self.error(
                f"expected {column} to be a whole number, found {self[column]!r}"
            ) from None


def line_error(origin: str, line: int, problem: str) -> BatError:
    """Return, not raise, an error about one line of a list."""
    return BatError(f"{origin}, line {line}: {problem}")


def root_of(source: Source, landmark: str) -> str:
    """Find the folder of a data set by a file that lies in it.

    Data sets are unpacked with or without the folder they were packed in.

    Parameters
    ----------
    source : Source
    landmark : str
        Path of the file inside the data set.

    Returns
    -------
    str
        "" or a path with a slash at its end, to put before the data set's own paths.

    Raises
    ------
    BatError
        If there is no such file, or several lie equally deep.
    """
    names = column_of(source.names)
    alike = names.filter(names.str.ends_with(landmark))
    found: list[str] = [name for name in alike if f"/{name}".endswith(f"/{landmark}")]
    if not found:
        raise BatError(f"{landmark}: no such file among the data set's {len(source.names)}")
    depth = min(name.count("/") for name in found)
    highest = [name for name in found if name.count("/") == depth]
    if len(highest) > 1:
        raise BatError(f"{landmark}: expected one, found {highest[0]} and {highest[1]}")
    return highest[0].removesuffix(landmark)


def read_text(source: Source, name: str) -> str:
    """Return a list's text.

    Raises
    ------
    BatError
        If the file is absent or not in UTF-8.
    """
    if name not in source.names:
        raise BatError(f"{name}: no such file in the data set")
    content = source.read(name)
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a byte order mark at the start
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise line_error(name, line, "expected text in UTF-8, found another encoding") from error


def read_lines(source: Source, name: str) -> list[Row]:
    """Return the lines of a list as rows of one column, "text"; empty lines do not count.

    Raises
    ------
    BatError
        If the list is absent, not in UTF-8 or has a line twice.
    """
    lines = enumerate(read_text(source, name).splitlines(), start=1)
    records = [(line, [text.strip()]) for line, text in lines if text.strip()]
    return list(_rows(name, ("text",), records, columns=("text",), key="text"))


def read_csv(source: Source, name: str, columns: Sequence[str], *, key: str) -> Iterator[Row]:
    """Yield the rows of a comma-separated list with a header.

    Parameters
    ----------
    source : Source
    name : str
    columns : sequence of str
        What the header must have, in any order; other columns are left out.
    key : str
        The column whose values differ.

    Raises
    ------
    BatError
        If the list is absent, not in UTF-8, lacks a column, or has a row with too few or too many
        fields, with an empty one, or with another row's key.
    """
    header, records = read_table_text(source, name)
    check_header(name, header, columns)
    yield from _rows(name, header, records, columns=columns, key=key)


def read_headless_csv(
    source: Source, name: str, columns: Sequence[str], *, key: str
) -> Iterator[Row]:
    """Yield the rows of a comma-separated list without a header, below lines that start with "#".

    The columns stand in the given order; otherwise like `read_csv`.
    """
    text = read_text(source, name)
    lines = text.splitlines(keepends=True)
    comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    records = _records(name, "".join(lines[comments:]), lines_before=comments)
    yield from _rows(name, columns, records, columns=columns, key=key)


def read_table_text(source: Source, name: str) -> tuple[list[str], list[Record]]:
    """Return the header and the records of a comma-separated list; empty lines do not count.

    Raises
    ------
    BatError
        If the list is absent, not in UTF-8, or badly quoted.
    """
    records = list(_records(name, read_text(source, name)))
    if not records:
        raise BatError(f"{name}: expected a header, found an empty file")
    (_, header), *rest = records
    return [column.strip() for column in header], rest


def check_header(origin: str, header: Sequence[str], columns: Collection[str]) -> None:
    """Raise BatError unless the header has all columns, each once."""
    if any(header.count(column) != 1 for column in columns):
        raise line_error(
            origin, 1, f"expected the columns {','.join(columns)}, found {','.join(header)}"
        )


def _records(origin: str, text: str, *, lines_before: int = 0) -> Iterator[Record]:
    # Python's reader keeps line breaks inside quotes, so a record may span several lines.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    while True:
        line = lines_before + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise line_error(origin, line, f"badly quoted: {error}") from error
        if fields:
            yield line, fields


def _rows(
    origin: str,
    header: Sequence[str],
    records: Iterator[Record] | list[Record],
    *,
    columns: Sequence[str],
    key: str,
) -> Iterator[Row]:
    line_of: dict[str, int] = {}
    for line, fields in records:
        if len(fields) != len(header):
            problem = f"expected {len(header)} fields, found {len(fields)}"
            raise line_error(origin, line, problem)
        by_column = dict(zip(header, (field.strip() for field in fields), strict=True))
        row = Row(origin=origin, line=line, fields={name: by_column[name] for name in columns})
        empty = next((name for name in columns if not row[name]), None)
        if empty is not None:
            raise row.error(f"expected a value of {empty}, found none")
        if row[key] in line_of:
            raise row.error(f"{row[key]!r} is already in line {line_of[row[key]]}")
        line_of[row[key]] = line
        yield row
