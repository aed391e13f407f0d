"""The layouts of published data sets, each on a small data set of that layout."""

import json
import shutil
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.audio.ffmpeg import decode
from bat.data.entries import Event
from bat.data.layouts import LAYOUTS, read_layout
from bat.data.layouts.audioset import excerpts
from bat.data.sources import open_source
from bat.errors import BatError
from data.listed import contents, entries_of
from fixtures.layouts import (
    COMMANDS,
    make_audioset,
    make_birdset,
    make_csv,
    make_dcase,
    make_esc50,
    make_librispeech,
    make_speech_commands,
    open_folder,
    zip_files,
)

MAKERS = {
    "esc50": make_esc50,
    "speech-commands": make_speech_commands,
    "audioset": make_audioset,
    "dcase2016-task2": make_dcase,
    "birdset": make_birdset,
    "librispeech": make_librispeech,
    "csv": make_csv,
}
OPTIONS = {"csv": {"table": "birds.csv"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder for each layout, to be read only."""
    root = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        (root / name).mkdir()
        make(root / name)
    return root


@pytest.fixture
def copied(made, tmp_path):
    """Return a function that copies a layout's folder, to be changed."""
    return lambda name: shutil.copytree(made / name, tmp_path / name)


def read(folder, name, **options):
    return read_layout(name, open_folder(folder), **OPTIONS.get(name, {}), **options)


def parts(listing):
    return Counter(entry.part for entry in entries_of(listing))


def replace_line(path, line, text):
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [text]
    path.write_text("\n".join(lines) + "\n")


# --- all layouts ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_data_set_is_made_with_the_same_bytes(made, tmp_path, name):
    MAKERS[name](tmp_path)
    assert open_folder(tmp_path).sha256 == open_folder(made / name).sha256


@pytest.mark.parametrize("name", MAKERS)
def test_every_listed_file_is_there_and_decodes(made, name):
    source = open_folder(made / name)
    for entry in entries_of(read_layout(name, source, **OPTIONS.get(name, {})))[::5]:
        assert decode(source.read(entry.file), rate_hz=16_000).duration_s >= 1


@pytest.mark.parametrize("name", MAKERS)
def test_labels_and_events_are_of_the_classes(made, name):
    listing = read(made / name, name)
    labels = {label for entry in entries_of(listing) for label in entry.labels}
    assert labels == set(listing.classes)
    assert {event.label for entry in entries_of(listing) for event in entry.events} <= labels


@pytest.mark.parametrize("name", MAKERS)
def test_a_data_set_inside_another_folder_is_found(made, tmp_path, name):
    shutil.copytree(made / name, tmp_path / "outer" / "data")
    direct, nested = read(made / name, name), read(tmp_path, name)
    assert [entry.recording_id for entry in entries_of(nested)] == [
        entry.recording_id for entry in entries_of(direct)
    ]
    assert all(entry.file.startswith("outer/data/") for entry in entries_of(nested))


def test_a_layout_is_read_from_an_archive_too(made, tmp_path):
    source = open_folder(made / "esc50")
    archive = zip_files(tmp_path / "a.zip", {name: source.read(name) for name in source.names})
    with open_source(archive) as opened:
        assert contents(read_layout("esc50", opened)) == contents(read(made / "esc50", "esc50"))


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "meetings"])
def test_a_folder_of_another_layout_is_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BatError, match=r"no such file|found none"):
        read(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("esc-50", {}, r"expected one of meetings, esc50, .*, found 'esc-50'"),
        ("esc50", {"fold": 1}, r"layout esc50: unknown option 'fold', it takes: none"),
        ("birdset", {"file": 1}, r"it takes: train, test, classes"),
        ("csv", {}, r"layout csv: expected the option 'table'"),
        ("audioset", {"parts": ["train"]}, "expected parts among balanced_train"),
        ("audioset", {"parts": []}, "expected parts among"),
        ("audioset", {"order": "random"}, "expected order to be index or alphabetical"),
        ("librispeech", {"parts": ["train-other-500"]}, "'train-other-500', found none"),
        ("librispeech", {"parts": []}, "expected the name of a subset"),
    ],
)
def test_a_wrong_name_or_option_is_refused(made, name, options, message):
    with pytest.raises(BatError, match=message):
        read_layout(name, open_folder(made / "audioset"), **options)


def test_two_data_sets_in_one_folder_are_refused(made, tmp_path):
    for folder in ("one", "two"):
        shutil.copytree(made / "dcase2016-task2", tmp_path / folder)
    with pytest.raises(BatError, match=r"expected one, found one/labelvoc.* and two/labelvoc"):
        read(tmp_path, "dcase2016-task2")


# --- ESC-50 -----------------------------------------------------------------------------------


def test_esc50_has_five_folds_and_classes_by_target(made):
    listing = read(made / "esc50", "esc50")
    assert listing.classes == ("sound_z", "sound_y", "sound_x", "sound_w")
    assert parts(listing) == {f"fold-{number}": 8 for number in range(1, 6)}
    assert entries_of(listing)[0].recording_id == "1-100000-A-0"
    assert entries_of(listing)[0].labels == ("sound_z",)


def test_esc50_clip_without_a_file_stays_listed(copied):
    folder = copied("esc50")
    (folder / "audio" / "1-100000-A-0.wav").unlink()
    listing = read(folder, "esc50")
    assert entries_of(listing)[0].file is None
    assert len(entries_of(listing)) == 40


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "filename,fold,target", "line 1: expected the columns filename,fold,target,category"),
        (3, "a.wav,1,0", "line 3: expected 7 fields, found 3"),
        (3, "a.wav,6,0,sound_z,,,", "line 3: expected a fold from 1 to 5, found 6"),
        (3, "a.wav,one,0,sound_z,,,", "line 3: expected fold to be a whole number, found 'one'"),
        (3, "a.wav,1,0,,,,", "line 3: expected a value of category, found none"),
        (3, "a.wav,1,0,sound_w,,,", "line 3: target 0 is 'sound_w' here, but 'sound_z' above"),
        (4, "a.wav,1,9,sound_z,,,", "line 4: 'sound_z' has target 9 here, but another above"),
        (5, "1-100000-A-0.wav,1,0,sound_z,,,", "line 5: .* is already in line 2"),
        (4, 'a.wav,1,0,"sound_z,,,', "line 4: badly quoted"),
    ],
)
def test_a_wrong_row_of_esc50_is_named(copied, line, text, message):
    folder = copied("esc50")
    replace_line(folder / "meta" / "esc50.csv", line, text)
    with pytest.raises(BatError, match=rf"^meta/esc50\.csv, {message}"):
        read(folder, "esc50")


def test_a_list_in_another_encoding_is_refused_with_its_line(copied):
    folder = copied("esc50")
    content = (folder / "meta" / "esc50.csv").read_bytes()
    (folder / "meta" / "esc50.csv").write_bytes(content.replace(b"sound_y", b"ger\xe4usch"))
    with pytest.raises(BatError, match=r"esc50\.csv, line 4: expected text in UTF-8"):
        read(folder, "esc50")


def test_an_empty_list_is_refused(copied):
    folder = copied("esc50")
    (folder / "meta" / "esc50.csv").write_bytes(b"")
    with pytest.raises(BatError, match="expected a header, found an empty file"):
        read(folder, "esc50")
    (folder / "meta" / "esc50.csv").write_text("filename,fold,target,category\n")
    with pytest.raises(BatError, match="layout esc50: expected recordings, found none"):
        read(folder, "esc50")


# --- Speech Commands --------------------------------------------------------------------------


def test_speech_commands_have_twelve_classes(made):
    listing = read(made / "speech-commands", "speech-commands")
    assert listing.classes == (*COMMANDS, "unknown", "silence")
    assert parts(listing) == {"train": 24, "validation": 12, "test": 12, "background": 1}
    words = {entry.recording_id.split("/")[0]: entry.labels for entry in entries_of(listing)}
    assert words["bed"] == words["zero"] == ("unknown",)
    assert words["_background_noise_"] == ("silence",)
    assert words["yes"] == ("yes",)


def test_a_listed_command_without_a_file_stays_listed(copied):
    folder = copied("speech-commands")
    first = (folder / "testing_list.txt").read_text().split()[0]
    (folder / first).unlink()
    listing = read(folder, "speech-commands")
    (entry,) = [entry for entry in entries_of(listing) if entry.file is None]
    assert (entry.recording_id, entry.part) == (first.removesuffix(".wav"), "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yes.wav", r"testing_list\.txt, line 2: expected a path like"),
        ("nein/1_nohash_0.wav", r"testing_list\.txt, line 2: expected a path like"),
        ("yes/00000000_nohash_0.txt", r"testing_list\.txt, line 2: expected a path like"),
        ("yes/00000003_nohash_0.wav", r"testing_list\.txt, line 2: .* is already in line 1"),
        ("yes/00000002_nohash_0.wav", r"testing_list\.txt, line 2: .* also in validation_list"),
    ],
)
def test_a_wrong_line_of_a_list_of_commands_is_named(copied, text, message):
    folder = copied("speech-commands")
    replace_line(folder / "testing_list.txt", 2, text)
    with pytest.raises(BatError, match=message):
        read(folder, "speech-commands")


def test_a_folder_of_another_word_is_refused(copied):
    folder = copied("speech-commands")
    (folder / "bed").rename(folder / "bett")
    for path in (folder / "testing_list.txt", folder / "validation_list.txt"):
        path.write_text("".join(f"{x}\n" for x in path.read_text().split() if "bed" not in x))
    with pytest.raises(BatError, match="expected folders of the 35 words, found 'bett'"):
        read(folder, "speech-commands")


# --- AudioSet ---------------------------------------------------------------------------------


def test_audioset_has_several_labels_and_two_orders(made):
    listing = read(made / "audioset", "audioset")
    assert parts(listing) == {"balanced_train": 8, "unbalanced_train": 8, "eval": 8}
    assert listing.classes == ("Speech", "Male speech, man speaking", "Rain", "Applause")
    assert entries_of(listing)[2].labels == ("Rain", "Applause")
    alphabetical = read(made / "audioset", "audioset", order="alphabetical")
    assert alphabetical.classes == ("Applause", "Male speech, man speaking", "Rain", "Speech")
    assert entries_of(alphabetical) == entries_of(listing)


def test_audioset_files_may_have_a_y_before_the_id(made):
    listing = read(made / "audioset", "audioset")
    files = {entry.part: entry.file for entry in entries_of(listing)}
    assert files["balanced_train"].startswith("audio/balanced_train/Yba-")
    assert files["eval"].startswith("audio/eval/ev-")
    assert entries_of(listing)[0].recording_id == "ba-0_000000"


def test_audioset_parts_are_chosen(copied):
    folder = copied("audioset")
    (folder / "unbalanced_train_segments.csv").unlink()
    assert parts(read(folder, "audioset", parts=["eval", "balanced_train"])) == {
        "eval": 8,
        "balanced_train": 8,
    }
    with pytest.raises(BatError, match=r"unbalanced_train_segments\.csv: no such file"):
        read(folder, "audioset")


def test_audioset_clips_without_a_file_stay_listed(tmp_path):
    make_audioset(tmp_path, clips={"eval": 6}, absent=2)
    listing = read(tmp_path, "audioset", parts=["eval"])
    assert [entry.file is None for entry in entries_of(listing)] == [False] * 4 + [True] * 2


def test_audioset_files_lie_at_any_depth(copied):
    folder = copied("audioset")
    (folder / "audio" / "eval").rename(folder / "part00")
    (folder / "audio" / "eval").mkdir()
    (folder / "part00").rename(folder / "audio" / "eval" / "part00")
    listing = read(folder, "audioset", parts=["eval"])
    assert all(entry.file.startswith("audio/eval/part00/") for entry in entries_of(listing))


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, 'x, 0.000, 10.000, "/m/0000,/m/xyz"', "line 5: expected labels .* found '/m/xyz'"),
        (5, "x, 0.000, 10.000", "line 5: expected 4 fields, found 3"),
        (5, 'x, 0.000, 10.000, ""', "line 5: expected a value of positive_labels, found none"),
        (6, 'ev-2_000000, 0.0, 10.0, "/m/0000"', "line 6: .* is already in line 4"),
    ],
)
def test_a_wrong_row_of_audioset_is_named(copied, line, text, message):
    folder = copied("audioset")
    replace_line(folder / "eval_segments.csv", line, text)
    with pytest.raises(BatError, match=rf"^eval_segments\.csv, {message}"):
        read(folder, "audioset")


@pytest.mark.parametrize(
    "text", ['9,/m/0001,"Male speech, man speaking"', '1,/m/0000,"Male speech, man speaking"']
)
def test_a_wrong_index_of_audioset_is_named(copied, text):
    folder = copied("audioset")
    replace_line(folder / "class_labels_indices.csv", 3, text)
    with pytest.raises(BatError, match=r"class_labels_indices\.csv, line [34]: expected every"):
        read(folder, "audioset")


def test_a_clip_in_two_parts_or_with_two_files_is_refused(copied):
    folder = copied("audioset")
    shutil.copy(folder / "eval_segments.csv", folder / "balanced_train_segments.csv")
    with pytest.raises(BatError, match="ev-2_000000 is in balanced_train and in eval"):
        read(folder, "audioset")
    (folder / "audio" / "eval" / "Yev-2_000000.wav").write_bytes(b"")
    with pytest.raises(BatError, match="expected one file a clip"):
        read(folder, "audioset", parts=["eval"])


def segments(*lines):
    """A list of AudioSet with its comments."""
    return "# a\n# b, c\n# YTID, start_seconds\n" + "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    "odd",
    [
        'b, 0.000, 10.000, "/m/0001, /m/0002"',  # a space inside
        'b,0.000,10.000,"/m/0001,/m/0002"',
        '"b", 0.000,   10.000 , "/m/0001,/m/0002,/m/0001"',
        '\nb, 0.000, 10.000, "/m/0001,/m/0002"\n',
        'b, 0.000, 10.000, "/m/0001,\n/m/0002"',
    ],
)
def test_audioset_lists_in_another_form_say_the_same(copied, odd):
    folder, path = copied("audioset"), "eval_segments.csv"
    lines = ['a, 1.0, 2.0, "/m/0000"', 'b, 0.000, 10.000, "/m/0001,/m/0002"', 'c, 0, 1, "/m/0003"']
    (folder / path).write_text(segments(*lines))
    published = read(folder, "audioset", parts=["eval"])
    assert [entry.labels for entry in entries_of(published)][1] == (
        "Male speech, man speaking",
        "Rain",
    )
    lines[1] = odd
    for text in (segments(*lines), segments(*lines).rstrip("\n"), "\ufeff" + segments(*lines)):
        (folder / path).write_text(text)
        assert contents(read(folder, "audioset", parts=["eval"])) == contents(published)


def test_audioset_lists_are_read_at_once_where_they_are_as_published(made, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("read row by row")

    monkeypatch.setattr("bat.data.layouts.audioset.read_headless_csv", never)
    assert len(entries_of(read(made / "audioset", "audioset"))) == 24


AUDIOSET_ROWS = st.tuples(
    st.text("ab-_Y", min_size=1, max_size=3),
    st.sampled_from(["0.000", "30.000", "7"]),
    st.sampled_from(["10.000", "40.000"]),
    st.lists(st.sampled_from(["/m/0000", "/m/0001", "/m/0002"]), min_size=1, max_size=4),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(AUDIOSET_ROWS, min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_audioset_lists_are_read_at_once_as_row_by_row(made, tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("audioset")
    shutil.copy(made / "audioset" / "class_labels_indices.csv", folder)
    lines = [f'{name}, {start}, {end}, "{",".join(mids)}"' for name, start, end, mids in rows]
    (folder / "eval_segments.csv").write_text(segments(*lines))
    at_once = read(folder, "audioset", parts=["eval"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bat.data.layouts.audioset._published_segments", lambda source, name: None)
        row_by_row = read(folder, "audioset", parts=["eval"])
    assert contents(at_once) == contents(row_by_row)
    assert at_once.entries["recording_id"].to_list() == [row[0] for row in rows]


def test_audioset_excerpts_say_which_stretch_of_a_video_a_clip_is(copied):
    folder = copied("audioset")
    lines = ['a, 30.000, 40.000, "/m/0000"', 'b, 0.5, 4, "/m/0001"']
    (folder / "eval_segments.csv").write_text(segments(*lines))
    table = excerpts(open_folder(folder), parts=["eval", "balanced_train"])
    assert table.columns == ["recording_id", "part", "start_s", "end_s"]
    assert table.rows()[:2] == [("a", "eval", 30.0, 40.0), ("b", "eval", 0.5, 4.0)]
    assert table["part"].value_counts(sort=True).rows() == [("balanced_train", 8), ("eval", 2)]


@pytest.mark.parametrize(
    "times", ["10.000, 10.000", "10, 2", "-1, 5", "now, 5", "1, nan", "1, inf", "nan, 1"]
)
def test_a_wrong_stretch_is_refused_with_its_line(copied, times):
    folder = copied("audioset")
    replace_line(folder / "eval_segments.csv", 5, f'x, {times}, "/m/0000"')
    message = r"^eval_segments\.csv, line 5: expected 0 <= start < end in seconds, found "
    with pytest.raises(BatError, match=message):
        excerpts(open_folder(folder), parts=["eval"])


# --- DCASE 2016 task 2 ------------------------------------------------------------------------


def test_dcase_events_are_in_seconds(made):
    listing = read(made / "dcase2016-task2", "dcase2016-task2")
    assert listing.classes == ("alert", "cough", "knock")
    assert parts(listing) == {"train": 2, "validation": 1, "test": 1}
    first = entries_of(listing)[0]
    assert first.recording_id == "train_000"
    assert first.events[:2] == (
        Event(label="alert", onset_s=0.25, offset_s=0.75),
        Event(label="cough", onset_s=1.0, offset_s=2.0),
    )
    assert first.labels == ("alert", "cough", "knock")


def test_dcase_recording_without_events_or_without_a_file_stays_listed(copied):
    folder = copied("dcase2016-task2")
    (folder / "test.json").write_text('{"quiet.wav": []}')
    last = entries_of(read(folder, "dcase2016-task2"))[-1]
    assert (last.file, last.labels, last.events) == (None, (), ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a.wav": [\n{"label": }', r"test\.json, line 2: expected JSON"),
        ("[]", r"test\.json: expected an object"),
        ('{"a.wav": 1}', r"'a\.wav': expected a list of events"),
        ('{"a.wav": [], "a.wav": []}', r"test\.json: 'a\.wav' stands there twice"),
        ('{"train_000.wav": []}', r"'train_000\.wav' is also in train"),
        ('{"a.wav": [{"label": "cough"}]}', "event 0: expected label, start and end"),
        ('{"a.wav": [{"label": "x", "start": 0, "end": 1}]}', "event 0: expected a label of"),
        ('{"a.wav": [{"label": "cough", "start": 5, "end": 5}]}', "expected 0 <= start < end"),
        ('{"a.wav": [{"label": "cough", "start": -1, "end": 5}]}', "expected 0 <= start < end"),
        ('{"a.wav": [{"label": "cough", "start": NaN, "end": 5}]}', "expected 0 <= start < end"),
        ('{"a.wav": [{"label": "cough", "start": "0", "end": 5}]}', "expected 0 <= start < end"),
    ],
)
def test_a_wrong_list_of_events_is_named(copied, content, message):
    folder = copied("dcase2016-task2")
    (folder / "test.json").write_text(content)
    with pytest.raises(BatError, match=message):
        read(folder, "dcase2016-task2")


def test_a_gap_in_the_vocabulary_is_refused(copied):
    folder = copied("dcase2016-task2")
    replace_line(folder / "labelvocabulary.csv", 3, "5,cough")
    with pytest.raises(BatError, match=r"labelvocabulary\.csv, line 4: expected every idx from 0"):
        read(folder, "dcase2016-task2")


# --- BirdSet ----------------------------------------------------------------------------------


def test_birdset_has_recordings_and_segments(made):
    listing = read(made / "birdset", "birdset")
    assert parts(listing) == {"train": 9, "test": 8}
    assert listing.classes == ("amepip", "gcrfin", "whcspa")
    assert entries_of(listing)[0].recording_id == "XC100000"
    assert entries_of(listing)[0].labels == ("whcspa",)
    by_id = {entry.recording_id: entry for entry in entries_of(listing)}
    assert by_id["HSN_001_20150708_061805_010_015"].labels == ("whcspa", "gcrfin")
    assert by_id["HSN_001_20150708_061805_035_040"].labels == ()


def test_birdset_classes_may_be_in_an_order_of_their_own(copied):
    folder = copied("birdset")
    (folder / "order.txt").write_text("whcspa\ngcrfin\namepip\nsposan\n")
    listing = read(folder, "birdset", classes="order.txt")
    assert listing.classes == ("whcspa", "gcrfin", "amepip", "sposan")
    (folder / "order.txt").write_text("whcspa\ngcrfin\n")
    with pytest.raises(BatError, match=r"order\.txt: .*'amepip' is not there"):
        read(folder, "birdset", classes="order.txt")


def test_birdset_file_paths_and_single_codes_will_do(copied):
    folder = copied("birdset")
    path = folder / "HSN_metadata_train.parquet"
    table = pl.read_parquet(path).drop("ebird_code_multilabel")
    table.with_columns("/somewhere/else/" + pl.col("filepath")).write_parquet(folder / "t.parquet")
    found = read(folder, "birdset", train="t.parquet")
    assert contents(found) == contents(read(folder, "birdset"))


def test_birdset_recording_without_a_file_stays_listed(copied):
    folder = copied("birdset")
    (folder / "train" / "XC100000.ogg").unlink()
    assert entries_of(read(folder, "birdset"))[0].file is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("filepath"), "expected the columns filepath and ebird_code"),
        (lambda table: table.drop("ebird_code", "ebird_code_multilabel"), "expected the columns"),
        (lambda table: pl.concat([table, table]), r"row 11: 'XC100000\.ogg' is already in row 2"),
        (lambda table: table.with_columns(filepath=pl.lit("")), "row 2: expected a filepath"),
        (lambda table: table.with_columns(filepath=pl.lit(None)), "row 2: expected a filepath"),
        (lambda table: table.with_columns(ebird_code=pl.lit(3)), "expected ebird_code as String"),
        (
            lambda table: table.with_columns(ebird_code_multilabel=pl.lit(["a", "a"])),
            "row 2: expected codes, each once",
        ),
        (
            lambda table: table.with_columns(ebird_code_multilabel=pl.lit([1, 2])),
            r"expected ebird_code_multilabel as List\(String\)",
        ),
    ],
)
def test_a_wrong_birdset_table_is_refused(copied, change, message):
    folder = copied("birdset")
    path = folder / "HSN_metadata_train.parquet"
    change(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(BatError, match=rf"^HSN_metadata_train\.parquet.*{message}"):
        read(folder, "birdset")


def test_a_damaged_birdset_table_is_refused(copied):
    folder = copied("birdset")
    (folder / "HSN_metadata_test_5s.parquet").write_bytes(b"PAR1")
    with pytest.raises(BatError, match=r"test_5s\.parquet: expected a Parquet table"):
        read(folder, "birdset")


def test_two_birdset_files_of_one_name_are_refused(copied):
    folder = copied("birdset")
    shutil.copy(folder / "train" / "XC100000.ogg", folder / "test_5s")
    with pytest.raises(BatError, match=r"expected one file 'XC100000\.ogg'"):
        read(folder, "birdset")


# --- LibriSpeech ------------------------------------------------------------------------------


def test_librispeech_transcripts_are_in_lower_case(made):
    listing = read(made / "librispeech", "librispeech")
    assert listing.classes == ()
    assert parts(listing) == {"train-clean-100": 4, "dev-clean": 2, "test-clean": 2}
    assert entries_of(listing)[3].recording_id == "84-100-0003"
    assert entries_of(listing)[3].transcript == "don't go yet"
    assert entries_of(listing)[3].labels == ()


def test_librispeech_needs_only_the_subsets_asked_for(copied):
    folder = copied("librispeech")
    shutil.rmtree(folder / "LibriSpeech" / "train-clean-100")
    listing = read(folder / "LibriSpeech", "librispeech", parts=["dev-clean"])
    assert parts(listing) == {"dev-clean": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("84-100-0001", "line 2: expected 84-100-<number> and a transcript"),
        ("85-100-0001 YES", "line 2: expected 84-100-<number> and a transcript"),
        ("84-100-0000 YES", "line 2: 84-100-0000 is already in line 1"),
        ("84-100-0009 YES", r"84-100-0001\.flac: expected a transcript beside it"),
    ],
)
def test_a_wrong_transcript_is_named(copied, text, message):
    folder = copied("librispeech")
    path = folder / "LibriSpeech" / "train-clean-100" / "84" / "100" / "84-100.trans.txt"
    replace_line(path, 2, text)
    with pytest.raises(BatError, match=message):
        read(folder, "librispeech")


def test_librispeech_utterance_without_a_file_stays_listed(copied):
    folder = copied("librispeech")
    next(folder.rglob("84-102-0001.flac")).unlink()
    last = entries_of(read(folder, "librispeech"))[-1]
    assert (last.file, last.transcript) == (None, "we agree")


def test_the_list_of_events_is_plain_json(made):
    listed = json.loads((made / "dcase2016-task2" / "test.json").read_text())
    assert listed["test_000.wav"][0] == {"label": "alert", "start": 250.0, "end": 750.0}
