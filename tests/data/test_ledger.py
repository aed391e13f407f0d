import hashlib

import numpy as np
import polars as pl
import pytest

import bat.data.ledger
from audio.recipes import encoded, noise
from bat.audio.ffmpeg import DecoderKilledError
from bat.audio.pcm import pcm_sha256, to_int16
from bat.data.ledger import (
    LEDGER_SCHEMA,
    build_ledger,
    check_bad_share,
    counts_by_status,
    describe,
)
from bat.data.sources import SourceFile, recordings
from bat.data.tables import read_table, write_table
from bat.errors import BatError


def source(name, content):
    return SourceFile(
        recording_id=f"meeting-0/speaker-0/{name}",
        meeting="meeting-0",
        speaker="speaker-0",
        content=content,
        archive_sha256="0" * 64,
    )


def row_of(content, **options):
    return build_ledger([source("a", content)], **options).table.row(0, named=True)


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
        "recording_id": "meeting-0/speaker-0/a",
        "meeting": "meeting-0",
        "speaker": "speaker-0",
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


def test_the_decoded_pcm_is_handed_on_for_ok_files_only():
    samples = noise()
    ledger = build_ledger([source("a", encoded(samples)), source("b", encoded(noise(0.5)))])
    assert list(ledger.pcm) == ["meeting-0/speaker-0/a"]
    np.testing.assert_array_equal(ledger.pcm["meeting-0/speaker-0/a"], to_int16(samples))


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


def test_the_extension_plays_no_part(make_archive):
    path = make_archive(
        {"M/S/a.mp3": encoded(noise(), container="FLAC"), "M/S/b.wav": b"text " * 100}
    )
    assert build_ledger(recordings(path)).table["status"].to_list() == ["ok", "corrupt"]


def test_odd_names_are_decoded_like_any_other(make_archive):
    names = ["with space.wav", "q'uo\"te.wav", "new\nline.wav", "会议.wav", "-i.wav", "http:x.wav"]
    path = make_archive(
        {f"M/S/{name}": encoded(noise(seed=seed)) for seed, name in enumerate(names)}
    )
    assert counts_by_status(build_ledger(recordings(path)).table) == {"ok": len(names)}


def test_the_same_bytes_twice_are_a_duplicate():
    content = encoded(noise())
    table = build_ledger([source("a", content), source("b", content)]).table
    assert table["status"].to_list() == ["ok", "duplicate"]
    assert table["reason"][1] == "same bytes as meeting-0/speaker-0/a"
    assert table["attempts"].to_list() == [1, 0]


def test_the_same_samples_in_another_container_are_a_duplicate():
    table = build_ledger(
        [source("a", encoded(noise())), source("b", encoded(noise(), container="FLAC"))]
    ).table
    assert table["status"].to_list() == ["ok", "duplicate"]
    assert table["reason"][1] == "same samples as meeting-0/speaker-0/a"


def test_empty_and_silent_files_are_no_duplicates_of_each_other():
    silence = [encoded(np.zeros(32_000, np.float32), container=kind) for kind in ("WAV", "FLAC")]
    files = [b"", b"", *silence]
    table = build_ledger([source(str(i), content) for i, content in enumerate(files)]).table
    assert table["status"].to_list() == ["empty", "empty", "silent", "silent"]


def test_an_excluded_file_is_not_decoded_and_says_why():
    row = row_of(encoded(noise()), excluded={"meeting-0/speaker-0/a": "known to be bad"})
    assert (row["status"], row["reason"], row["attempts"]) == ("excluded", "known to be bad", 0)


def test_the_shortest_duration_is_a_parameter():
    assert row_of(encoded(noise(0.5)), min_duration_s=0.5)["status"] == "ok"


def test_a_killed_decoder_is_tried_again(monkeypatch):
    calls = []

    def killed_twice(content, *, rate_hz):
        calls.append(content)
        if len(calls) < 3:
            raise DecoderKilledError("ffmpeg was killed by signal 9")
        return decode(content, rate_hz=rate_hz)

    decode = bat.data.ledger.decode
    monkeypatch.setattr(bat.data.ledger, "decode", killed_twice)
    row = row_of(encoded(noise()))
    assert (row["status"], row["attempts"]) == ("ok", 3)


def test_a_decoder_that_is_always_killed_ends_the_ledger(monkeypatch):
    def killed(content, *, rate_hz):
        raise DecoderKilledError("ffmpeg was killed by signal 9")

    monkeypatch.setattr(bat.data.ledger, "decode", killed)
    with pytest.raises(DecoderKilledError):
        row_of(encoded(noise()))


def test_two_files_of_one_name_are_refused():
    with pytest.raises(BatError, match=r"ledger: .*recording_id"):
        build_ledger([source("a", encoded(noise(seed=seed))) for seed in (1, 2)])


def test_counts_are_told_in_one_line():
    files = {"a": encoded(noise()), "b": b"", "c": b"text" * 99, "d": encoded(noise(0.2))}
    table = build_ledger([source(*item) for item in files.items()]).table
    assert describe(table) == "4 files: 1 ok, 1 corrupt, 1 empty, 1 short"


def test_too_many_bad_files_are_refused_with_the_counts():
    table = build_ledger([source("a", encoded(noise())), source("b", b"")]).table
    check_bad_share(table, max_bad_share=0.5)
    with pytest.raises(BatError, match=r"50.0% of the files are bad.*1 ok, 1 empty"):
        check_bad_share(table, max_bad_share=0.4)


def test_short_files_are_not_bad_ones():
    check_bad_share(build_ledger([source("a", encoded(noise(0.5)))]).table, max_bad_share=0.0)


def test_a_ledger_of_nothing_is_refused():
    with pytest.raises(BatError, match="at least one file"):
        check_bad_share(build_ledger([]).table, max_bad_share=1.0)


def test_a_ledger_survives_the_way_to_disk_byte_for_byte(ledger, tmp_path):
    for name in ("one", "two"):
        write_table(ledger.table, tmp_path / name, LEDGER_SCHEMA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_table(tmp_path / "one", LEDGER_SCHEMA).equals(ledger.table)


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
    ledger.table.with_columns(**change).write_parquet(tmp_path / "ledger")
    with pytest.raises(BatError, match="ledger: "):
        read_table(tmp_path / "ledger", LEDGER_SCHEMA)


def test_a_damaged_ledger_is_refused(ledger, tmp_path):
    write_table(ledger.table, tmp_path / "ledger", LEDGER_SCHEMA)
    content = (tmp_path / "ledger").read_bytes()
    (tmp_path / "ledger").write_bytes(content[: len(content) // 2])
    with pytest.raises(BatError, match="expected a Parquet table"):
        read_table(tmp_path / "ledger", LEDGER_SCHEMA)
    with pytest.raises(BatError, match="expected a Parquet table"):
        read_table(tmp_path / "absent", LEDGER_SCHEMA)
