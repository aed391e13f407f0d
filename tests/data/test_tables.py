"""Look-ups and comparisons of long columns, also where hashes agree by chance."""

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.data.tables import (
    DISTINCT,
    all_differ,
    check_table,
    holds,
    perhaps_repeated,
    read_table,
    rows_of,
    write_table,
)
from bat.errors import BatError

TEXTS = st.lists(st.one_of(st.none(), st.text("ab", max_size=3)), max_size=12)


def length(values):
    """A hash that hardly tells values apart."""
    return values.str.len_bytes().fill_null(0).cast(pl.UInt64)


@pytest.fixture(params=["true hashes", "hashes that agree"], scope="module", autouse=True)
def hashes(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hashes that agree":
            patch.setattr(pl.Series, "hash", length)
        yield


def column(values):
    return pl.Series(values, dtype=pl.String)


@given(TEXTS, TEXTS)
def test_values_are_looked_up_like_in_a_dictionary(hashes, values, among):
    among = list(dict.fromkeys(among))
    place_of = {value: place for place, value in enumerate(among) if value is not None}
    expected = [place_of.get(value) for value in values]
    assert rows_of(column(values), column(among)).to_list() == expected


@given(TEXTS)
def test_no_repetition_is_overlooked(hashes, values):
    found = perhaps_repeated(column(values)).to_list()
    for value, may_be in zip(values, found, strict=True):
        assert may_be or value is None or values.count(value) == 1
        assert value is not None or not may_be


@given(TEXTS)
def test_values_differ_if_none_stands_there_twice(hashes, values):
    assert all_differ(column(values)) == (len(set(values)) == len(values))


def test_a_repeated_value_is_refused_with_its_column(hashes):
    schema = pa.DataFrameSchema({"name": pa.Column(pl.String, DISTINCT)}, name="names")
    check_table(pl.DataFrame({"name": ["a", "b"]}), schema)
    with pytest.raises(BatError, match=r"^names: .*'name'.*values that differ"):
        check_table(pl.DataFrame({"name": ["a", "b", "a"]}), schema)


def test_a_condition_must_hold_in_every_row():
    check = pa.Check(holds(pl.col("n") > 1), error="n is above 1")
    schema = pa.DataFrameSchema({"n": pa.Column(pl.Int64, nullable=True)}, check, name="numbers")
    for fine in ([], [2, 3], [2, None]):
        check_table(pl.DataFrame({"n": fine}, {"n": pl.Int64}), schema)
    with pytest.raises(BatError, match=r"numbers: .*n is above 1"):
        check_table(pl.DataFrame({"n": [2, 1]}), schema)


def test_a_table_comes_back_in_one_chunk(tmp_path):
    schema = pa.DataFrameSchema({"n": pa.Column(pl.Int64)}, name="numbers")
    write_table(pl.DataFrame({"n": range(600_000)}), tmp_path / "t", schema)
    assert read_table(tmp_path / "t", schema).n_chunks() == 1
