import re

import pytest

from bat.data.sources import recordings
from bat.errors import BatError


def ids(path):
    return [source.recording_id for source in recordings(path)]


def test_meetings_and_speakers_are_numbered_by_sorted_folder_name(make_archive):
    path = make_archive(
        {"Zurich/Berta/1-2.wav": b"a", "Aarau/Carl/3-4.wav": b"b", "Zurich/Anna/5-6.wav": b"c"}
    )
    assert ids(path) == [
        "meeting-0/speaker-2/3-4",
        "meeting-1/speaker-0/5-6",
        "meeting-1/speaker-1/1-2",
    ]
    first = next(iter(recordings(path)))
    assert (first.meeting, first.speaker, first.content) == ("meeting-0", "speaker-2", b"b")


def test_a_speaker_has_one_number_in_all_meetings(make_archive):
    path = make_archive({"A/Xaver/1.wav": b"", "B/Urs/2.wav": b"", "B/Xaver/3.wav": b""})
    assert {source.speaker for source in recordings(path)} == {"speaker-0", "speaker-1"}
    assert [source.speaker for source in recordings(path)].count("speaker-1") == 2


@pytest.mark.parametrize(
    "name", ["with space.wav", "q\"uo'te.wav", "new\nline.wav", "会议.wav", "$HOME;.wav", "x'.flac"]
)
def test_an_odd_name_becomes_a_hash(make_archive, name):
    (found,) = ids(make_archive({f"M/S/{name}": b""}))
    assert re.fullmatch(r"meeting-0/speaker-0/file-[0-9a-f]{12}", found)


@pytest.mark.parametrize("name", ["-dash.wav", "plain", "a.b.c.flac", "1388749-1391854.wav"])
def test_a_plain_name_is_kept(make_archive, name):
    (found,) = ids(make_archive({f"M/S/{name}": b""}))
    assert found == f"meeting-0/speaker-0/{name.removesuffix('.wav').removesuffix('.flac')}"


def test_files_that_differ_only_in_their_extension_stay_apart(make_archive):
    found = ids(make_archive({"M/S/a.wav": b"1", "M/S/a.flac": b"2", "M/T/a.wav": b"3"}))
    assert len(set(found)) == 3
    assert found[2] == "meeting-0/speaker-1/a"


def test_hidden_files_and_folders_do_not_count(make_archive):
    path = make_archive(
        {"M/": b"", "M/S/": b"", "M/S/a.wav": b"", "M/S/.DS_Store": b"", "__MACOSX/M/._a": b""}
    )
    assert ids(path) == ["meeting-0/speaker-0/a"]


def test_files_that_are_no_audio_appear_too(make_archive):
    assert len(ids(make_archive({"M/S/notes.txt": b"text", "M/S/empty.wav": b""}))) == 2


@pytest.mark.parametrize("name", ["Somebody.wav", "M/Somebody.wav", "M/S/T/Somebody.wav"])
def test_another_layout_is_refused_without_its_names(make_archive, name):
    with pytest.raises(BatError, match="expected every file at meeting/speaker/file") as caught:
        ids(make_archive({name: b""}))
    assert "Somebody" not in str(caught.value)


def test_the_order_in_the_archive_plays_no_part(make_archive):
    members = {"B/S/2.wav": b"2", "A/S/1.wav": b"1"}
    assert ids(make_archive(members)) == ids(make_archive(dict(reversed(members.items()))))
