import re

import pytest

from bat.data.layouts import read_layout
from bat.data.sources import open_source
from bat.errors import BatError
from data.listed import entries_of
from fixtures.layouts import MEETINGS, zip_files


@pytest.fixture
def list_archive(tmp_path):
    """Return a function that lists an archive of the given members."""

    def read(members):
        with open_source(zip_files(tmp_path / "archive.zip", members)) as source:
            return read_layout("meetings", source)

    return read


def ids(list_archive):
    return [entry.recording_id for entry in entries_of(list_archive)]


def test_meetings_and_speakers_are_numbered_by_sorted_folder_name(list_archive):
    found = list_archive(
        {"Zurich/Berta/1-2.wav": b"a", "Aarau/Carl/3-4.wav": b"b", "Zurich/Anna/5-6.wav": b"c"}
    )
    assert ids(found) == [
        "meeting-0/speaker-2/3-4",
        "meeting-1/speaker-0/5-6",
        "meeting-1/speaker-1/1-2",
    ]
    first = entries_of(found)[0]
    assert (first.part, first.labels, first.file) == (
        "meeting-0",
        ("speaker-2",),
        "Aarau/Carl/3-4.wav",
    )
    assert found.classes == ("speaker-0", "speaker-1", "speaker-2")


def test_a_speaker_has_one_number_in_all_meetings(list_archive):
    found = list_archive({"A/Xaver/1.wav": b"", "B/Urs/2.wav": b"", "B/Xaver/3.wav": b""})
    assert [entry.labels for entry in entries_of(found)].count(("speaker-1",)) == 2


@pytest.mark.parametrize(
    "name", ["with space.wav", "q\"uo'te.wav", "new\nline.wav", "会议.wav", "$HOME;.wav", "x'.flac"]
)
def test_an_odd_name_becomes_a_hash(list_archive, name):
    (found,) = ids(list_archive({f"M/S/{name}": b""}))
    assert re.fullmatch(r"meeting-0/speaker-0/file-[0-9a-f]{12}", found)


@pytest.mark.parametrize("name", ["-dash.wav", "plain", "a.b.c.flac", "1388749-1391854.wav"])
def test_a_plain_name_is_kept(list_archive, name):
    (found,) = ids(list_archive({f"M/S/{name}": b""}))
    assert found == f"meeting-0/speaker-0/{name.removesuffix('.wav').removesuffix('.flac')}"


def test_files_that_differ_only_in_their_extension_stay_apart(list_archive):
    found = ids(list_archive({"M/S/a.wav": b"1", "M/S/a.flac": b"2", "M/T/a.wav": b"3"}))
    assert len(set(found)) == 3
    assert found[2] == "meeting-0/speaker-1/a"


def test_hidden_files_and_folders_do_not_count(list_archive):
    found = list_archive(
        {"M/": b"", "M/S/": b"", "M/S/a.wav": b"", "M/S/.DS_Store": b"", "__MACOSX/M/._a": b""}
    )
    assert ids(found) == ["meeting-0/speaker-0/a"]


def test_files_that_are_no_audio_appear_too(list_archive):
    assert len(entries_of(list_archive({"M/S/notes.txt": b"text", "M/S/empty.wav": b""}))) == 2


@pytest.mark.parametrize("name", ["Somebody.wav", "M/Somebody.wav", "M/S/T/Somebody.wav"])
def test_another_layout_is_refused_without_its_names(list_archive, name):
    with pytest.raises(BatError, match="expected every file at meeting/speaker/file") as caught:
        list_archive({name: b""})
    assert "Somebody" not in str(caught.value)


def test_the_order_in_the_archive_plays_no_part(list_archive):
    members = {"B/S/2.wav": b"2", "A/S/1.wav": b"1"}
    assert ids(list_archive(members)) == ids(list_archive(dict(reversed(members.items()))))


def test_the_fixture_has_five_meetings_of_nine_speakers():
    with open_source(MEETINGS) as source:
        found = read_layout("meetings", source)
    assert len(entries_of(found)) == 40
    assert {entry.part for entry in entries_of(found)} == {
        f"meeting-{number}" for number in range(5)
    }
    assert found.classes == tuple(f"speaker-{number}" for number in range(9))
