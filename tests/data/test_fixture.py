"""The small data set that other tests build upon."""

import zipfile
from collections import Counter

import polars as pl

from data.conftest import FIXTURE


def test_the_fixture_is_small_and_anonymous():
    assert FIXTURE.stat().st_size <= 2_500_000
    with zipfile.ZipFile(FIXTURE) as archive:
        for name in archive.namelist():
            meeting, speaker, _ = name.split("/")
            assert meeting in {f"meeting-{number}" for number in range(5)}
            assert speaker in {f"speaker-{number}" for number in range(9)}


def test_every_recording_of_the_fixture_is_ok(ledger):
    assert ledger["status"].to_list() == ["ok"] * 40
    assert Counter(ledger["native_rate_hz"]) == {16_000: 39, 44_100: 1}
    assert Counter(ledger["channels"]) == {1: 39, 2: 1}


def test_every_speaker_of_the_fixture_is_in_two_meetings_or_more(ledger):
    pairs = set(ledger.select("part", pl.col("labels").list.first()).iter_rows())
    assert Counter(meeting for meeting, _ in pairs) == {f"meeting-{n}": 4 for n in range(5)}
    assert min(Counter(speaker for _, speaker in pairs).values()) >= 2
