"""What a comparison of two files finds, and how it says where."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from bat.audit.comparison import first_difference, other_form, same_bytes
from bat.errors import BatError
from bat.provenance.determinism import Tolerance


def write(path, value):
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(value))
        case ".csv":
            pl.DataFrame(value).write_csv(path)
        case ".parquet":
            pl.DataFrame(value).write_parquet(path)
        case ".safetensors":
            save_file(value, path, {"heads": "{}"})
        case ".npy":
            np.save(path, value)
        case _:
            path.write_bytes(value)
    return path


@pytest.fixture
def pair(tmp_path):
    def of(ending, one, other):
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        return write(tmp_path / f"a/x{ending}", one), write(tmp_path / f"b/x{ending}", other)

    return of


FLOATS = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
MOVED = np.array([[1.0, 2.0], [3.0, 4.25]], dtype=np.float32)
DIFFERENT = [
    (".json", {"runs": [{"mAP": 0.5}]}, {"runs": [{"mAP": 0.75}]},
     "runs[0].mAP: 0.5 on record, 0.75 rebuilt"),
    (".json", {"a": 1}, {"a": 1, "b": 2}, "b: nothing on record, 2 rebuilt"),
    (".json", {"a": [1, 2]}, {"a": [1]}, "a[1]: 2 on record, nothing rebuilt"),
    (".json", {"a": 1}, {"a": True}, "a: 1 on record, true rebuilt"),
    (".json", {"a": "x"}, {"a": "y"}, 'a: "x" on record, "y" rebuilt'),
    (".csv", {"n": [1.5, 2.5]}, {"n": [1.5, 3.5]}, "row 1, column n: 2.5 on record, 3.5 rebuilt"),
    (".parquet", {"n": [1.5, 2.5]}, {"n": [1.5, 3.5]},
     "row 1, column n: 2.5 on record, 3.5 rebuilt"),
    (".parquet", {"s": [[1.0], [2.0, 3.0]]}, {"s": [[1.0], [2.0, 9.0]]},
     "row 1, column s[1]: 3.0 on record, 9.0 rebuilt"),
    (".parquet", {"n": [1]}, {"n": [1, 2]}, "1 rows on record, 2 rebuilt"),
    (".parquet", {"n": [1]}, {"n": ["1"]}, 'n: "Int64" on record, "String" rebuilt'),
    (".safetensors", {"w": FLOATS}, {"w": MOVED},
     "tensor w: at [1, 1] 4 on record, 4.25 rebuilt; 1 of 4 values differ, the largest "
     "deviation is 0.25"),
    (".safetensors", {"w": FLOATS}, {"v": FLOATS},
     'names of tensors [0]: "w" on record, "v" rebuilt'),
    (".safetensors", {"w": FLOATS}, {"w": FLOATS[:1]},
     "tensor w: float32[2, 2] on record, float32[1, 2] rebuilt"),
    (".npy", FLOATS, MOVED, "at [1, 1] 4 on record, 4.25 rebuilt; 1 of 4 values differ, the "
     "largest deviation is 0.25"),
    (".npy", FLOATS, np.where(FLOATS > 3, np.nan, FLOATS), "at [1, 1] 4 on record, nan rebuilt; "
     "1 of 4 values differ, the largest deviation is 0"),
    ("", b"abcdef", b"abcxef", "byte 3 differs; 6 bytes on record, 6 rebuilt"),
    (".png", b"abc", b"abcdef", "byte 3 differs; 3 bytes on record, 6 rebuilt"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "one", "other", "said"), DIFFERENT)
def test_the_first_difference_is_named_in_the_terms_of_the_file(pair, ending, one, other, said):
    assert first_difference(*pair(ending, one, other)) == said


@pytest.mark.parametrize(
    ("ending", "one", "other"),
    [
        (".json", {"a": [0.5, "x"]}, {"a": [0.75, "x"]}),
        (".csv", {"a": [0.5]}, {"a": [0.75]}),
        (".parquet", {"a": [[0.5]]}, {"a": [[0.75]]}),
        (".safetensors", {"w": FLOATS}, {"w": MOVED}),
        (".npy", FLOATS, MOVED),
    ],
)
def test_numbers_may_be_off_by_as_much_as_the_tolerance_and_no_more(pair, ending, one, other):
    files = pair(ending, one, other)
    assert not same_bytes(*files)
    assert first_difference(*files, Tolerance(absolute=0.25)) is None
    assert first_difference(*files, Tolerance(absolute=0.24)) is not None
    assert first_difference(*files, Tolerance(relative=0.5)) is None
    assert first_difference(*files, Tolerance(relative=0.01)) is not None


def test_a_tolerance_is_for_numbers_only(pair):
    wide = Tolerance(absolute=1e9)
    assert first_difference(*pair(".json", {"a": "1"}, {"a": "2"}), wide) is not None


def test_a_number_that_is_none_is_within_no_tolerance(pair):
    wide = Tolerance(absolute=1e9)
    files = pair(".npy", FLOATS, np.where(FLOATS > 3, np.nan, FLOATS))
    assert first_difference(*files, wide) is not None


@pytest.mark.parametrize(
    ("ending", "one", "other"),
    [
        (".json", {"a": [1, 2]}, {"a": [7]}),
        (".parquet", {"a": [1.0]}, {"a": [2.0, 3.0]}),
        (".safetensors", {"w": FLOATS}, {"w": MOVED[:1]}),
        (".npy", FLOATS, MOVED[:1]),
        ("", b"RIFF1", b"RIFF22"),
    ],
)
def test_a_form_is_kept_by_other_values(pair, ending, one, other):
    assert other_form(*pair(ending, one, other)) is None


@pytest.mark.parametrize(
    ("ending", "one", "other"),
    [
        (".json", {"a": 1}, {"b": 1}),
        (".json", {"a": 1}, {"a": "1"}),
        (".parquet", {"a": [1.0]}, {"a": [1]}),
        (".safetensors", {"w": FLOATS}, {"w": FLOATS.astype(np.float16)}),
        (".npy", FLOATS, FLOATS[0]),
        ("", b"RIFF", b"\x89PNG"),
    ],
)
def test_another_form_is_found(pair, ending, one, other):
    assert "on record" in other_form(*pair(ending, one, other))


def test_a_file_that_is_not_what_its_ending_says_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(BatError, match=r"a\.json: not a \.json file"):
        first_difference(tmp_path / "a.json", tmp_path / "b.json")
