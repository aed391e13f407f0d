import hashlib
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bat.data.recordings
from audio.recipes import encoded, noise
from bat.audio.ffmpeg import DecoderKilledError, Recording
from bat.audio.pcm import pcm_sha256, to_int16
from bat.data.entries import Entry, Event, entries_table
from bat.data.ledger import (
    LEDGER_SCHEMA,
    build_ledger,
    check_bad_share,
    counts_by_status,
    describe,
)
from bat.data.tables import read_table, write_table
from bat.errors import BatError


class ListedPcm:
    """Keeps what a PCM writer would write."""

    def __init__(self):
        self.stored = []
        self.index = None

    def append(self, pcm):
        self.stored.append(pcm)
        return sum(len(each) for each in self.stored[:-1])

    def list_only(self, index):
        self.index = index

    @property
    def added(self):
        samples = np.concatenate([np.zeros(0, np.int16), *self.stored])
        return [
            (name, samples[offset : offset + length])
            for name, offset, length, _ in self.index.iter_rows()
        ]


def ledger_of(files, *, writer=None, entries=None, **options):
    """Ledger of a mapping of name to content, None for a file that is not there."""
    defaults = {
        "rate_hz": 16_000,
        "minimum_duration_s": 1.0,
        "excludes": ("silent", "duplicate"),
    }
    entries = entries or [
        Entry(recording_id=name, part="train", file=None if content is None else f"{name}.wav")
        for name, content in files.items()
    ]
    contents = {f"{name}.wav": content for name, content in files.items()}
    return build_ledger(
        entries_table(entries),
        contents.__getitem__,
        writer or ListedPcm(),
        **defaults | options,
    )


def row_of(content, **options):
    return ledger_of({"a": content}, **options).row(0, named=True)


def with_header(content, start, value):
    return content[:start] + value + content[start + len(value) :]


def with_nan(value):
    samples = noise()
    samples[100] = value
    return encoded(samples, subtype="FLOAT")


BAD_FILES = {
    "empty": [b"", encoded(np.zeros(0, np.float32))],
    "corrupt": [
        b"this is text\n" * 99,
        encoded(noise())[:-3200],
        encoded(noise())[:44],
        encoded(noise(), container="FLAC")[:-3000],
        with_header(encoded(noise()), 22, b"\0\0"),
        with_nan(np.nan),
        with_nan(np.inf),
    ],
    "silent": [
        encoded(np.zeros(32_000, np.float32)),
        encoded(np.full(32_000, 1e-6, np.float32), subtype="FLOAT"),
    ],
    "short": [encoded(noise(0.5))],
    "missing": [None],
}


@pytest.mark.parametrize(
    ("status", "content"),
    [(status, content) for status, contents in BAD_FILES.items() for content in contents],
)
def test_a_bad_file_stays_in_the_ledger_with_a_status_and_a_reason(status, content):
    row = row_of(content)
    assert row["status"] == status
    assert row["reason"]
    assert row["bytes"] == len(content or b"")


def test_a_good_file_is_measured():
    samples = noise()
    content = encoded(samples)
    row = row_of(content)
    assert row == {
        "recording_id": "a",
        "part": "train",
        "labels": [],
        "events": [],
        "transcript": None,
        "archive": None,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "status": "ok",
        "reason": "",
        "native_rate_hz": 16_000,
        "channels": 1,
        "duration_s": 2.0,
        "rms": pytest.approx(float(np.sqrt(np.square(samples, dtype=np.float64).mean()))),
        "peak": pytest.approx(float(np.abs(samples).max())),
        "pcm_sha256": pcm_sha256(to_int16(samples)),
        "attempts": 1,
    }


def test_what_the_list_says_stands_in_the_ledger():
    entry = Entry(
        recording_id="a",
        part="fold-2",
        file="a.wav",
        labels=("rain", "dog"),
        events=(Event(label="dog", onset_s=0.25, offset_s=0.5),),
        transcript="good dog",
    )
    row = ledger_of({"a": encoded(noise())}, entries=[entry]).row(0, named=True)
    assert (row["part"], row["labels"], row["transcript"]) == (
        "fold-2",
        ["rain", "dog"],
        "good dog",
    )
    assert row["events"] == [{"label": "dog", "onset_s": 0.25, "offset_s": 0.5}]


def test_the_pcm_of_ok_files_alone_is_written_in_their_order():
    writer = ListedPcm()
    first, last = noise(seed=1), noise(seed=2)
    ledger_of({"a": encoded(first), "b": encoded(noise(0.5)), "c": encoded(last)}, writer=writer)
    assert [name for name, _ in writer.added] == ["a", "c"]
    np.testing.assert_array_equal(writer.added[0][1], to_int16(first))
    np.testing.assert_array_equal(writer.added[1][1], to_int16(last))


@pytest.mark.parametrize(
    ("content", "rate_hz", "channels"),
    [
        (encoded(noise(rate_hz=8_000), 8_000), 8_000, 1),
        (encoded(noise(rate_hz=48_000), 48_000), 48_000, 1),
        (encoded(np.stack([noise()] * 2, 1)), 16_000, 2),
        (encoded(np.stack([noise()] * 6, 1), subtype="PCM_24"), 16_000, 6),
        (encoded(noise(), container="OGG", subtype=None), 16_000, 1),
        (encoded(noise(), container="MP3", subtype=None), 16_000, 1),
    ],
)
def test_rates_channels_and_containers_of_all_kinds_are_ok(content, rate_hz, channels):
    row = row_of(content)
    assert (row["status"], row["native_rate_hz"], row["channels"]) == ("ok", rate_hz, channels)


def test_the_extension_plays_no_part():
    table = ledger_of({"a": encoded(noise(), container="FLAC"), "b": b"text " * 100})
    assert table["status"].to_list() == ["ok", "corrupt"]


def test_odd_names_are_decoded_like_any_other():
    names = ["with space", "q'uo\"te", "会议", "-i", "http:x", "../a"]
    table = ledger_of({name: encoded(noise(seed=seed)) for seed, name in enumerate(names)})
    assert counts_by_status(table) == {"ok": len(names)}


# --- duplicates and silence -------------------------------------------------------------------


def test_the_same_bytes_twice_are_a_duplicate_that_is_not_measured():
    content = encoded(noise())
    table = ledger_of({"a": content, "b": content})
    assert table["status"].to_list() == ["ok", "duplicate"]
    assert table["reason"][1] == "same bytes as a"
    assert table["attempts"].to_list() == [1, 0]
    assert table["duration_s"].to_list() == [2.0, None]


def test_the_same_samples_in_another_container_are_a_duplicate():
    table = ledger_of({"a": encoded(noise()), "b": encoded(noise(), container="FLAC")})
    assert table["status"].to_list() == ["ok", "duplicate"]
    assert table["reason"][1] == "same samples as a"


def test_a_duplicate_in_another_part_is_a_duplicate():
    content = encoded(noise())
    entries = [
        Entry(recording_id=part, part=part, file=f"{part}.wav") for part in ("train", "test")
    ]
    table = ledger_of({"train": content, "test": content}, entries=entries)
    assert table["status"].to_list() == ["ok", "duplicate"]


def test_a_corrupt_file_twice_is_corrupt_and_a_duplicate():
    table = ledger_of({"a": b"text" * 99, "b": b"text" * 99})
    assert table["status"].to_list() == ["corrupt", "duplicate"]


def test_empty_and_silent_files_are_no_duplicates_of_each_other():
    silence = [encoded(np.zeros(32_000, np.float32), container=kind) for kind in ("WAV", "FLAC")]
    files = [b"", b"", *silence]
    table = ledger_of({str(number): content for number, content in enumerate(files)})
    assert table["status"].to_list() == ["empty", "empty", "silent", "silent"]


def test_a_test_set_keeps_its_duplicates():
    writer, content = ListedPcm(), encoded(noise())
    files = {"a": content, "b": content, "c": encoded(noise(), container="FLAC")}
    table = ledger_of(files, writer=writer, excludes=("silent",))
    assert table["status"].to_list() == ["ok"] * 3
    assert table["duration_s"].to_list() == [2.0] * 3
    assert [name for name, _ in writer.added] == ["a", "b", "c"]


def test_a_test_set_keeps_its_silent_recordings():
    row = row_of(encoded(np.zeros(32_000, np.float32)), excludes=("duplicate",))
    assert (row["status"], row["rms"], row["peak"]) == ("ok", 0.0, 0.0)


def test_what_cannot_be_kept_is_bad_whatever_is_excluded():
    files = {"a": None, "b": b"", "c": b"text" * 99, "d": b"", "e": b"text" * 99}
    table = ledger_of(files, excludes=())
    assert table["status"].to_list() == ["missing", "empty", "corrupt", "empty", "corrupt"]


def test_only_silence_and_duplicates_can_be_kept():
    with pytest.raises(BatError, match=r"excludes: expected some of .*found \['short'\]"):
        ledger_of({"a": b""}, excludes=("short", "silent"))


# --- exclusion, length, names -----------------------------------------------------------------


def test_an_excluded_file_is_not_decoded_and_says_why():
    row = row_of(encoded(noise()), excluded={"a": "known to be bad"})
    assert (row["status"], row["reason"], row["attempts"]) == ("excluded", "known to be bad", 0)


def test_an_excluded_file_makes_no_duplicate_of_another():
    content = encoded(noise())
    table = ledger_of({"a": content, "b": content}, excluded={"a": "by hand"})
    assert table["status"].to_list() == ["excluded", "ok"]


def test_the_shortest_duration_is_a_parameter():
    assert row_of(encoded(noise(0.5)), minimum_duration_s=0.5)["status"] == "ok"


def test_no_recording_is_too_short_for_a_minimum_of_nothing():
    assert row_of(encoded(noise(0.001)), minimum_duration_s=0)["status"] == "ok"


def test_a_recording_that_resampling_leaves_nothing_of_is_empty(monkeypatch):
    nothing = Recording(
        samples=np.zeros(0, np.float32),
        rate_hz=16_000,
        native_rate_hz=192_000,
        channels=1,
        duration_s=1 / 192_000,
    )
    monkeypatch.setattr(bat.data.recordings, "decode", lambda content, *, rate_hz: nothing)
    row = row_of(b"one sample", minimum_duration_s=0)
    assert (row["status"], row["reason"]) == ("empty", "no samples at 16000 Hz")


def test_two_entries_of_one_name_are_refused():
    entries = [Entry(recording_id="a", part=part, file=None) for part in ("train", "test")]
    with pytest.raises(BatError, match="two entries have the recording_id a"):
        ledger_of({}, entries=entries)


@pytest.mark.parametrize("name", ["", "two\nlines", "tab\t", "\x1b[2J"])
def test_a_name_that_is_not_printable_is_refused(name):
    entry = Entry(recording_id=name, part="train", file=None)
    with pytest.raises(BatError, match="expected a printable recording_id"):
        ledger_of({}, entries=[entry])


def test_a_file_that_cannot_be_read_ends_the_ledger():
    def read(name):
        raise BatError(f"{name}: changed since the inventory was taken")

    entry = Entry(recording_id="a", part="train", file="a.wav")
    with pytest.raises(BatError, match=r"a\.wav: changed"):
        build_ledger(
            entries_table([entry]),
            read,
            ListedPcm(),
            rate_hz=16_000,
            minimum_duration_s=0,
            excludes=(),
        )


# --- many files -------------------------------------------------------------------------------

SECOND = 16_000
KINDS = {
    "noise": lambda seed: encoded(noise(1.5, seed=seed % 3)),
    "flac": lambda seed: encoded(noise(1.5, seed=seed % 3), container="FLAC"),
    "short": lambda seed: encoded(noise(0.2, seed=seed)),
    "silent": lambda seed: encoded(np.zeros(2 * SECOND, np.float32)),
    "text": lambda seed: b"text" * 99,
    "empty": lambda seed: b"",
    "missing": lambda seed: None,
}


@settings(max_examples=5, deadline=None)
@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12), st.integers(2, 5))
def test_the_ledger_does_not_depend_on_the_number_of_workers(kinds, workers):
    files = {f"{number}-{kind}": KINDS[kind](number) for number, kind in enumerate(kinds)}
    alone, together = ListedPcm(), ListedPcm()
    table = ledger_of(files, writer=alone, workers=1)
    assert table["recording_id"].to_list() == list(files)
    assert ledger_of(files, writer=together, workers=workers).equals(table)
    assert [name for name, _ in together.added] == [name for name, _ in alone.added]
    assert all(
        np.array_equal(one, other)
        for (_, one), (_, other) in zip(alone.added, together.added, strict=True)
    )


def test_files_are_decoded_at_the_same_time(monkeypatch):
    decode, both = bat.data.recordings.decode, threading.Barrier(2, timeout=30)

    def decode_with_another(content, *, rate_hz):
        both.wait()
        return decode(content, rate_hz=rate_hz)

    monkeypatch.setattr(bat.data.recordings, "decode", decode_with_another)
    files = {str(seed): encoded(noise(seed=seed)) for seed in range(4)}
    assert counts_by_status(ledger_of(files, workers=2)) == {"ok": 4}


def test_files_are_read_only_a_little_ahead_of_what_is_written():
    contents, read, writer = [encoded(noise(seed=seed)) for seed in range(60)], [], ListedPcm()
    ahead = []

    def read_one(name):
        read.append(name)
        ahead.append(len(read) - len(writer.stored))
        return contents[int(name)]

    entries = [Entry(recording_id=str(n), part="train", file=str(n)) for n in range(60)]
    table = build_ledger(
        entries_table(entries),
        read_one,
        writer,
        rate_hz=16_000,
        minimum_duration_s=1.0,
        excludes=(),
        workers=2,
    )
    assert table.height == len(writer.added) == 60
    assert max(ahead) <= 10


def test_entries_of_one_file_share_its_samples():
    entries = [Entry(recording_id=name, part="train", file="a.wav") for name in "abc"]
    writer = ListedPcm()
    table = ledger_of({"a": encoded(noise())}, entries=entries, writer=writer, excludes=())
    assert table["status"].to_list() == ["ok"] * 3
    assert len(writer.stored) == 1
    assert [name for name, _ in writer.added] == ["a", "b", "c"]
    table = ledger_of({"a": encoded(noise())}, entries=entries)
    assert table["status"].to_list() == ["ok", "duplicate", "duplicate"]


def test_a_file_is_decoded_if_one_of_its_entries_is_not_excluded():
    entries = [Entry(recording_id=name, part="train", file="a.wav") for name in "ab"]
    table = ledger_of({"a": encoded(noise())}, entries=entries, excluded={"a": "by hand"})
    assert table["status"].to_list() == ["excluded", "ok"]
    assert table["duration_s"].to_list() == [None, 2.0]


def test_a_killed_decoder_is_tried_again(monkeypatch):
    calls = []

    def killed_twice(content, *, rate_hz):
        calls.append(content)
        if len(calls) < 3:
            raise DecoderKilledError("ffmpeg was killed by signal 9")
        return decode(content, rate_hz=rate_hz)

    decode = bat.data.recordings.decode
    monkeypatch.setattr(bat.data.recordings, "decode", killed_twice)
    row = row_of(encoded(noise()))
    assert (row["status"], row["attempts"]) == ("ok", 3)


def test_a_decoder_that_is_always_killed_ends_the_ledger(monkeypatch):
    def killed(content, *, rate_hz):
        raise DecoderKilledError("ffmpeg was killed by signal 9")

    monkeypatch.setattr(bat.data.recordings, "decode", killed)
    with pytest.raises(DecoderKilledError):
        row_of(encoded(noise()))


# --- reports ----------------------------------------------------------------------------------


def test_counts_are_told_in_one_line():
    files = {"a": encoded(noise()), "b": b"", "c": b"text" * 99, "d": encoded(noise(0.2))}
    assert describe(ledger_of(files)) == "4 files: 1 ok, 1 corrupt, 1 empty, 1 short"


def test_too_many_bad_files_are_refused_with_the_counts():
    table = ledger_of({"a": encoded(noise()), "b": b""})
    check_bad_share(table, max_bad_share=0.5)
    with pytest.raises(BatError, match=r"50.0% of the files are bad.*1 ok, 1 empty"):
        check_bad_share(table, max_bad_share=0.4)


def test_short_files_are_not_bad_ones():
    check_bad_share(ledger_of({"a": encoded(noise(0.5))}), max_bad_share=0.0)


def test_a_ledger_of_nothing_is_refused():
    with pytest.raises(BatError, match="at least one file"):
        check_bad_share(ledger_of({}), max_bad_share=1.0)


# --- on disk ----------------------------------------------------------------------------------


def test_a_ledger_survives_the_way_to_disk_byte_for_byte(ledger, tmp_path):
    for name in ("one", "two"):
        write_table(ledger, tmp_path / name, LEDGER_SCHEMA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_table(tmp_path / "one", LEDGER_SCHEMA).equals(ledger)


@pytest.mark.parametrize(
    "change",
    [
        {"status": pl.lit("fine")},
        {"reason": pl.lit("a reason for what is ok")},
        {"bytes": pl.lit(-1, pl.Int64)},
        {"extra": pl.lit(1)},
    ],
)
def test_a_table_that_is_no_ledger_is_refused(ledger, tmp_path, change):
    ledger.with_columns(**change).write_parquet(tmp_path / "ledger")
    with pytest.raises(BatError, match="ledger: "):
        read_table(tmp_path / "ledger", LEDGER_SCHEMA)


def test_a_damaged_ledger_is_refused(ledger, tmp_path):
    write_table(ledger, tmp_path / "ledger", LEDGER_SCHEMA)
    content = (tmp_path / "ledger").read_bytes()
    (tmp_path / "ledger").write_bytes(content[: len(content) // 2])
    with pytest.raises(BatError, match="expected a Parquet table"):
        read_table(tmp_path / "ledger", LEDGER_SCHEMA)
    with pytest.raises(BatError, match="expected a Parquet table"):
        read_table(tmp_path / "absent", LEDGER_SCHEMA)
