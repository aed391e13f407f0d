"""The judgement of whole tables, against a plain one of row after row."""

import logging

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.data.entries import Entry, entries_table
from bat.data.ledger import LEDGER_SCHEMA, account, check_bad_share, describe, pcm_index
from bat.data.pcm_store import PCM_INDEX_SCHEMA
from bat.data.recordings import RECORDING_STATUSES, RECORDINGS_SCHEMA
from bat.data.tables import make_table
from bat.errors import BatError

MEASUREMENTS = ("native_rate_hz", "channels", "duration_s", "rms", "peak", "pcm_sha256")


def recording(file, status="ok", **values):
    """A row of recordings; what is not given follows from the status."""
    row = dict.fromkeys(RECORDINGS_SCHEMA.columns) | {"file": file, "status": status}
    row |= {"bytes": 100, "sha256": f"bytes of {file}", "attempts": 1}
    if status in ("missing", "private", "removed"):
        row |= {"bytes": 0, "sha256": None, "attempts": 0}
    if status == "ok":
        row |= {"reason": "", "native_rate_hz": 44_100, "channels": 2, "duration_s": 2.0}
        row |= {"rms": 0.1, "peak": 0.5, "pcm_sha256": f"samples of {file}"}
        row |= {"offset": 0, "samples": 32_000}
    else:
        row |= {"reason": f"found {status}"}
    return row | values


def judged(entries, recordings, **options):
    options = {"minimum_duration_s": 1.0, "excludes": ("silent", "duplicate")} | options
    return account(entries_table(entries), make_table(recordings, RECORDINGS_SCHEMA), **options)


def entry(name, file=None, **values):
    return Entry(recording_id=name, part="train", file=file, **values)


def reference(entries, recordings, *, minimum_duration_s, excludes, excluded):
    """Judge row after row, each in the light of the earlier ones."""
    of_file = {row["file"]: row for row in recordings}
    first_bytes, first_samples, verdicts = {}, {}, []
    for each in entries:
        name, row = each.recording_id, of_file.get(each.file)
        if name in excluded:
            verdicts.append(("excluded", excluded[name] or "by parameter"))
        elif row is None:
            verdicts.append(("missing", "named by the data set, not found"))
        elif row["status"] not in ("ok", "corrupt"):
            verdicts.append((row["status"], row["reason"]))
        elif (
            "duplicate" in excludes
            and row["sha256"] is not None
            and first_bytes.setdefault(row["sha256"], name) != name
        ):
            verdicts.append(("duplicate", f"same bytes as {first_bytes[row['sha256']]}"))
        elif row["status"] == "corrupt":
            verdicts.append(("corrupt", row["reason"]))
        elif "silent" in excludes and row["peak"] == 0:
            verdicts.append(("silent", "every sample is zero in 16 bits"))
        elif row["duration_s"] < minimum_duration_s:
            length = f"{row['duration_s']:.3f} s, shorter than {minimum_duration_s:g} s"
            verdicts.append(("short", length))
        elif "duplicate" in excludes and first_samples.setdefault(row["pcm_sha256"], name) != name:
            verdicts.append(("duplicate", f"same samples as {first_samples[row['pcm_sha256']]}"))
        else:
            verdicts.append(("ok", ""))
    return verdicts


few = st.integers(0, 3)


@st.composite
def data_sets(draw):
    """Entries and recordings with many coincidences."""
    recordings = []
    for number in range(draw(st.integers(0, 12))):
        status = draw(st.sampled_from(["ok"] * 8 + ["corrupt"] * 2 + list(RECORDING_STATUSES)))
        row = recording(f"file-{number}", status)
        if row["sha256"] is not None:
            row["sha256"] = draw(st.sampled_from([None, "x", "y", f"bytes of {number}"]))
        if status == "ok":
            row["duration_s"] = draw(st.sampled_from([0.25, 0.9996, 1.0, 12.0]))
            row["peak"] = draw(st.sampled_from([0.0, 0.5]))
            row["pcm_sha256"] = f"samples {draw(few)}"
        recordings.append(row)
    files = st.sampled_from([None, "absent", *(row["file"] for row in recordings)])
    entries = [entry(f"id-{n}", draw(files)) for n in range(draw(st.integers(0, 12)))]
    excluded = draw(st.dictionaries(st.sampled_from(["id-0", "id-3", "id-99"]), st.just("by hand")))
    return entries, recordings, excluded


@settings(max_examples=150, deadline=None)
@given(data_sets(), st.sets(st.sampled_from(["silent", "duplicate"])), st.sampled_from([0, 1.0]))
def test_tables_are_judged_like_one_row_after_the_other(data_set, excludes, minimum_duration_s):
    entries, recordings, excluded = data_set
    options = {
        "minimum_duration_s": minimum_duration_s,
        "excludes": sorted(excludes),
        "excluded": excluded,
    }
    table = judged(entries, recordings, **options)
    assert table["recording_id"].to_list() == [each.recording_id for each in entries]
    assert table.select("status", "reason").rows() == reference(entries, recordings, **options)
    index = pcm_index(table, make_table(recordings, RECORDINGS_SCHEMA), rate_hz=16_000)
    ok = table.filter(pl.col("status") == "ok")["recording_id"]
    assert index["recording_id"].equals(ok)


@settings(max_examples=50, deadline=None)
@given(data_sets())
def test_measurements_are_those_of_the_file_unless_they_stand_elsewhere(data_set):
    entries, recordings, excluded = data_set
    of_file = {row["file"]: row for row in recordings}
    table = judged(entries, recordings, excluded=excluded)
    for each, row in zip(entries, table.iter_rows(named=True), strict=True):
        found = of_file.get(each.file)
        if found is None:
            assert (row["bytes"], row["sha256"], row["attempts"]) == (0, None, 0)
            continue
        assert (row["bytes"], row["sha256"]) == (found["bytes"], found["sha256"])
        unmeasured = row["status"] == "excluded" or row["reason"].startswith("same bytes")
        for name in MEASUREMENTS:
            assert row[name] == (None if unmeasured else found[name])
        assert row["attempts"] == (0 if unmeasured else found["attempts"])


def test_the_order_of_recordings_plays_no_part():
    entries = [entry(name, name) for name in "abcd"]
    rows = [recording(name, pcm_sha256="same") for name in "abcd"]
    assert judged(entries, rows).equals(judged(entries, rows[::-1]))


def test_what_a_site_no_longer_gives_out_is_bad_and_told_apart():
    entries = [entry(name, name) for name in "abcd"]
    rows = [recording("a"), recording("b", "private"), recording("c", "removed", archive="youtube")]
    table = judged(entries, rows)
    assert describe(table) == "4 files: 1 ok, 1 missing, 1 private, 1 removed"
    assert table["reason"].to_list()[1:3] == ["found private", "found removed"]
    assert table["archive"].to_list() == [None, None, "youtube", None]
    with pytest.raises(BatError, match=r"75\.0% of the files are bad"):
        check_bad_share(table, max_bad_share=0.7)


def test_a_container_without_samples_is_empty_as_often_as_it_is_there():
    rows = [recording(name, "empty", sha256="same") for name in "ab"]
    assert judged([entry("a", "a"), entry("b", "b")], rows)["status"].to_list() == ["empty"] * 2


def test_recordings_that_no_entry_names_are_told_of(caplog):
    caplog.set_level(logging.INFO, logger="bat")
    judged([entry("a", "a"), entry("b", "a")], [recording(name) for name in "abc"], excludes=())
    assert "2 files of the source are not in the data set's list" in caplog.text
    caplog.clear()
    judged([entry("a", "a"), entry("b", None)], [recording("a")])
    assert not caplog.records


def test_names_are_checked():
    with pytest.raises(BatError, match="two entries have the recording_id a"):
        judged([entry("a"), entry("b"), entry("a")], [])
    with pytest.raises(BatError, match=r"expected a printable recording_id, found 'b\\n'"):
        judged([entry("a"), entry("b\n")], [])
    with pytest.raises(BatError, match="excludes: expected some of"):
        judged([], [], excludes=("short",))
    assert judged([entry("会议"), entry("é")], []).height == 2


def test_a_ledger_of_nothing_has_all_columns():
    assert judged([], []).columns == list(LEDGER_SCHEMA.columns)


# --- the index --------------------------------------------------------------------------------


def test_the_index_says_where_usable_recordings_lie_in_the_order_of_the_ledger():
    rows = [
        recording("a", offset=0, samples=10),
        recording("b", offset=10, samples=20, duration_s=0.1),
        recording("c", offset=30, samples=5),
    ]
    table = judged([entry("z", "c"), entry("y", "b"), entry("x", "a")], rows)
    index = pcm_index(table, make_table(rows, RECORDINGS_SCHEMA), rate_hz=8_000)
    assert index.rows() == [("z", 30, 5, 8_000), ("x", 0, 10, 8_000)]
    assert index.columns == list(PCM_INDEX_SCHEMA.columns)


def test_a_usable_recording_that_was_not_stored_is_refused():
    rows = [recording("a"), recording("b")]
    table = judged([entry("a", "a"), entry("b", "b")], rows)
    with pytest.raises(BatError, match="the samples of 1 recordings are not stored: b"):
        pcm_index(table, make_table(rows[:1], RECORDINGS_SCHEMA), rate_hz=16_000)
