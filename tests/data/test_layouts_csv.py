"""A user's own table."""

import pytest

from bat.data.layouts import read_layout
from bat.errors import BatError
from data.listed import contents, entries_of
from fixtures.layouts import make_csv, open_folder

FOLDS = """path,label,fold
a.wav,robin,1
b.wav,wren,1
c.wav,robin,2
d.wav,wren,2
"""
SPLITS = """path,label,split
a.wav,robin,train
b.wav,wren,train
c.wav,robin,validation
d.wav,wren,test
"""


@pytest.fixture
def list_table(tmp_path):
    """Return a function that lists a table beside the files a.wav to d.wav."""
    for name in "abcd":
        (tmp_path / f"{name}.wav").write_bytes(b"")

    def read(text, **options):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "birds.csv").write_bytes(content)
        return read_layout("csv", open_folder(tmp_path), table="birds.csv", **options)

    return read


def message(list_table, text, **options):
    with pytest.raises(BatError) as caught:
        list_table(text, **options)
    return str(caught.value)


def edited(text, line, new):
    lines = text.splitlines()
    lines[line - 1] = new
    return "\n".join(lines) + "\n"


# --- what is right ----------------------------------------------------------------------------


def test_a_table_of_folds_is_read(list_table):
    found = list_table(FOLDS)
    assert found.classes == ("robin", "wren")
    assert [entry.part for entry in entries_of(found)] == ["fold-1", "fold-1", "fold-2", "fold-2"]
    first = entries_of(found)[0]
    assert (first.recording_id, first.file, first.labels) == ("a.wav", "a.wav", ("robin",))


def test_a_table_of_splits_is_read(list_table):
    parts = [entry.part for entry in entries_of(list_table(SPLITS))]
    assert parts == ["train", "train", "validation", "test"]


def test_several_labels_are_separated_by_semicolons(list_table):
    found = list_table(edited(FOLDS, 2, "a.wav,wren; robin;wren,1"))
    assert entries_of(found)[0].labels == ("wren", "robin")


def test_allowed_classes_give_the_order(list_table):
    assert list_table(FOLDS, classes=["wren", "robin"]).classes == ("wren", "robin")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + FOLDS,  # a spreadsheet's byte order mark
        FOLDS.replace("\n", "\r\n"),
        FOLDS.replace("\n", "\n\n"),
        FOLDS.rstrip("\n"),
        FOLDS.replace(",", " , "),
        FOLDS.replace("a.wav", '"a.wav"'),
        FOLDS.replace("a.wav", "./a.wav"),
    ],
)
def test_harmless_differences_play_no_part(list_table, text):
    assert contents(list_table(text)) == contents(list_table(FOLDS))


def test_other_columns_and_their_order_play_no_part(list_table):
    lines = [line.split(",") for line in FOLDS.splitlines()]
    text = "".join(f'{fold},{label},"a, note",{path}\n' for path, label, fold in lines)
    found = list_table(text.replace("a, note", "note", 1))
    assert contents(found) == contents(list_table(FOLDS))


def test_odd_names_are_read(tmp_path):
    names = ["with space.wav", 'q"uote.wav', "会议.wav", "new\nline.wav"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    rows = [f'"{name.replace(chr(34), chr(34) * 2)}",x,{i % 2}' for i, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,fold", *rows]))
    found = read_layout("csv", open_folder(tmp_path), table="t.csv")
    assert [entry.file for entry in entries_of(found)] == names
    assert all(entry.recording_id.isprintable() for entry in entries_of(found))


@pytest.mark.parametrize("column", ["fold", "split"])
def test_files_of_mixed_kinds_are_made(tmp_path, column):
    make_csv(tmp_path, table="lists/t.csv", column=column, several_labels=True)
    found = read_layout("csv", open_folder(tmp_path), table="lists/t.csv")
    assert len(entries_of(found)) == 18
    assert {entry.file.rsplit(".")[1] for entry in entries_of(found)} == {"wav", "mp3", "flac"}
    assert {len(entry.labels) for entry in entries_of(found)} == {1, 2}


# --- what is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (edited(FOLDS, 3, "x.wav,wren,1"), "3: no such file in the data set's folder: 'x.wav'"),
        (edited(FOLDS, 3, "../b.wav,wren,1"), "3: no such file in the data set's folder"),
        (edited(FOLDS, 3, "/etc/passwd,wren,1"), "3: no such file in the data set's folder"),
        (edited(FOLDS, 3, ",wren,1"), "3: expected a path, found none"),
        (edited(FOLDS, 3, "b.wav,wren,"), "3: expected a fold, found none"),
        (edited(FOLDS, 3, "b.wav,wren,a b"), "3: expected a fold of letters, digits, _ . -, found"),
        (edited(FOLDS, 3, "b.wav,,1"), "3: expected a label, found ''"),
        (edited(FOLDS, 3, "b.wav,wren;,1"), "3: expected a label, found 'wren;'"),
        (edited(FOLDS, 3, "b.wav,wren"), "3: expected 3 fields, found 2"),
        (edited(FOLDS, 3, "b.wav,wren,1,2"), "3: expected 3 fields, found 4"),
        (edited(FOLDS, 3, 'b.wav,"wren,1'), "3: badly quoted"),
        (FOLDS + "./a.wav,robin,1\n", "6: 'a.wav' is already in line 2"),
        (FOLDS + "a.wav,robin,2\n", "6: 'a.wav' is in fold 2, but in fold 1 in line 2"),
        (FOLDS + "d.wav,owl,2\n", "6: 'd.wav' is already in line 5"),
        (
            FOLDS.replace("d.wav,wren", "d.wav,robin"),
            "3: the class 'wren' occurs in fold 1 only, so training without that fold never sees",
        ),
        (SPLITS + "a.wav,robin,test\n", "6: 'a.wav' is in split test, but in split train in"),
        (edited(SPLITS, 4, "c.wav,robin,dev"), "4: expected split train, validation or test"),
        (edited(SPLITS, 4, "c.wav,owl,validation"), "4: the class 'owl' of split validation is"),
        (edited(SPLITS, 5, "d.wav,owl,test"), "5: the class 'owl' of split test is not in split"),
        (SPLITS.replace("test", "validation"), "1: expected files of the split test, found none"),
        (SPLITS.replace("train", "test"), "1: expected files of the split train, found none"),
        ("path,label\na.wav,robin\n", "1: expected the columns path,label,fold (or split), found"),
        ("path;label;fold\n", "1: expected the columns path,label,fold"),
        ("file,label,fold\n", "1: expected the columns path,label,fold, found file,label,fold"),
        ("path,label,fold,fold\n", "1: expected the columns path,label,fold, found"),
        ("path,label,fold,split\n", "1: expected a column fold or a column split, found both"),
        ("path,label,fold\n", "1: expected files below the header, found none"),
        (FOLDS.replace("wren", "zaunkönig").encode("latin-1"), "3: expected text in UTF-8"),
        (FOLDS.encode("utf-16"), "1: expected text in UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(list_table, text, expected):
    found = message(list_table, text)
    assert found.startswith(f"birds.csv, line {expected}"), found
    assert "\n" not in found


def test_a_label_that_is_not_allowed_is_refused(list_table):
    found = message(list_table, FOLDS, classes=["robin"])
    assert found == (
        "birds.csv, line 3: unknown label 'wren', expected one of robin (and 1 more problem)"
    )


def test_an_allowed_class_without_files_is_refused(list_table):
    found = message(list_table, FOLDS, classes=["robin", "wren", "owl"])
    assert found == "birds.csv, line 1: expected files of the class 'owl', found none"


def test_a_class_without_files_in_a_fold_is_refused_unless_that_is_meant(list_table, tmp_path):
    (tmp_path / "e.wav").write_bytes(b"")
    found = message(list_table, FOLDS + "e.wav,robin,3\n")
    assert "birds.csv, line 3: the class 'wren' of this line has no file in fold 3" in found
    assert "rare_classes" in found
    assert len(entries_of(list_table(FOLDS + "e.wav,robin,3\n", rare_classes=True))) == 5


def test_every_entry_says_where_it_is_listed(list_table):
    origins = [entry.origin for entry in entries_of(list_table(FOLDS))]
    assert origins[:2] == ["birds.csv, line 2", "birds.csv, line 3"]


def test_all_problems_are_counted(list_table):
    text = edited(edited(FOLDS, 3, "x.wav,wren,1"), 5, "y.wav,,2")
    found = message(list_table, text)
    # Also: no label in line 5, and so wren in one fold only.
    assert "line 3: no such file" in found
    assert found.endswith("(and 3 more problems)")


def test_an_empty_or_absent_table_is_refused(list_table, tmp_path):
    assert message(list_table, "") == "birds.csv: expected a header, found an empty file"
    with pytest.raises(BatError, match=r"other\.csv: no such file"):
        read_layout("csv", open_folder(tmp_path), table="other.csv")
