"""Files of a source, each measured by itself."""

import hashlib
import itertools
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.recipes import encoded, noise
from bat.audio.pcm import pcm_sha256, to_int16
from bat.data.recordings import RECORDINGS_SCHEMA, Found, measure, measure_all
from bat.data.tables import check_table, make_table
from bat.errors import BatError

RATE_HZ = 16_000


class Samples:
    """Keeps what a store would keep."""

    def __init__(self):
        self.stored = []

    def append(self, pcm):
        self.stored.append(pcm)
        return sum(map(len, self.stored[:-1]))


def measured(*found, sink=None, workers=1):
    rows = measure_all(found, sink or Samples(), rate_hz=RATE_HZ, workers=workers)
    return make_table(rows, RECORDINGS_SCHEMA)


def found(file, content, **options):
    return Found(file=file, content=content, **options)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (None, "missing", "named by the data set, not found"),
        (b"", "empty", "no bytes"),
        (encoded(np.zeros(0, np.float32)), "empty", "no samples"),
        (b"this is text\n" * 99, "corrupt", "undecodable"),
        (encoded(noise())[:-3200], "corrupt", "truncated"),
        (encoded(np.full(32_000, np.nan, np.float32), subtype="FLOAT"), "corrupt", "not finite"),
    ],
)
def test_what_cannot_be_used_has_a_status_and_a_reason_and_no_pcm(content, status, reason):
    row, pcm = measure("a.wav", content, rate_hz=RATE_HZ)
    assert (row["status"], pcm) == (status, None)
    assert reason in row["reason"]
    assert row["bytes"] == len(content or b"")
    expected = None if content is None else hashlib.sha256(content).hexdigest()
    assert row["sha256"] == expected


def test_a_recording_is_measured_whatever_is_heard_in_it():
    for samples in (noise(), noise(0.01), np.zeros(16_000, np.float32)):
        row, pcm = measure("a.wav", encoded(samples), rate_hz=RATE_HZ, archive="x.tar")
        assert (row["status"], row["reason"], row["archive"]) == ("ok", "", "x.tar")
        np.testing.assert_array_equal(pcm, to_int16(samples))
        assert row["pcm_sha256"] == pcm_sha256(pcm)
        assert row["peak"] == pytest.approx(float(np.abs(samples).max()))


@pytest.mark.parametrize("status", ["private", "removed", "corrupt", "excluded"])
def test_what_is_known_beforehand_is_not_decoded(status):
    problem = (status, "the site says so")
    row, pcm = measure("a.wav", encoded(noise()), rate_hz=RATE_HZ, problem=problem)
    assert (row["status"], row["reason"], row["attempts"], pcm) == (*problem, 0, None)
    assert row["sha256"] is not None


def test_files_that_could_not_be_read_are_not_taken_for_copies_of_each_other():
    problem = ("corrupt", "checksum of the member")
    row, _ = measure("a.wav", b"", rate_hz=RATE_HZ, problem=problem)
    assert row["sha256"] is None


def test_rows_say_where_the_samples_lie():
    sink = Samples()
    table = measured(
        found("a", encoded(noise(1.0))),
        found("b", b"text" * 99),
        found("c", encoded(noise(0.5, seed=1))),
        sink=sink,
    )
    assert table["offset"].to_list() == [0, None, 16_000]
    assert table["samples"].to_list() == [16_000, None, 8_000]
    assert list(map(len, sink.stored)) == [16_000, 8_000]


def test_content_may_be_read_when_its_turn_comes():
    content = encoded(noise())
    assert measured(found("a", lambda: content))["status"].to_list() == ["ok"]


def test_what_cannot_be_read_ends_the_work():
    def broken():
        raise BatError("member 3 is damaged")

    with pytest.raises(BatError, match="member 3 is damaged"):
        measured(found("a", encoded(noise())), found("b", broken), workers=2)


def test_a_stream_is_taken_only_a_little_ahead():
    content, sink, ahead = encoded(noise()), Samples(), []

    def stream():
        for number in itertools.count():
            ahead.append(number - len(sink.stored))
            yield found(str(number), content)

    rows = measure_all(stream(), sink, rate_hz=RATE_HZ, workers=2)
    taken = list(itertools.islice(rows, 30))
    rows.close()
    assert [row["file"] for row in taken] == [str(number) for number in range(30)]
    assert max(ahead) <= 8


def test_files_are_read_on_several_threads_at_once():
    both, content = threading.Barrier(2, timeout=30), encoded(noise())

    def read():
        both.wait()
        return content

    table = measured(*(found(str(number), read) for number in range(4)), workers=2)
    assert table["status"].to_list() == ["ok"] * 4


KINDS = [None, b"", b"text" * 99, encoded(noise(0.2)), encoded(noise(0.3), container="FLAC")]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(range(len(KINDS))), max_size=9), st.integers(2, 5))
def test_rows_do_not_depend_on_the_number_of_workers(kinds, workers):
    files = [found(str(number), KINDS[kind]) for number, kind in enumerate(kinds)]
    alone, together = Samples(), Samples()
    table = measured(*files, sink=alone)
    assert table.equals(measured(*files, sink=together, workers=workers))
    assert all(map(np.array_equal, alone.stored, together.stored))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": pl.lit("same")}, "values that differ"),
        ({"status": pl.lit("fine")}, "isin"),
        ({"reason": pl.lit("x")}, "empty reason"),
        ({"offset": pl.lit(None, pl.Int64)}, "stored PCM"),
        ({"offset": pl.lit(5, pl.Int64)}, "stored PCM"),
        ({"bytes": pl.lit(-1, pl.Int64)}, "greater_than_or_equal_to"),
    ],
)
def test_a_table_that_says_otherwise_is_refused(change, message):
    table = measured(found("a", encoded(noise(0.1))), found("b", None))
    with pytest.raises(BatError, match=f"recordings: .*{message}"):
        check_table(table.with_columns(**change), RECORDINGS_SCHEMA)
