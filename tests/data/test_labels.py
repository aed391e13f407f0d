"""Class ids mean nothing without the order of the classes."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.data.labels import LabelOrder, mapping, read_order
from bat.data.layouts import LAYOUTS, read_layout
from bat.errors import BatError
from fixtures.layouts import (
    make_audioset,
    make_birdset,
    make_csv,
    make_dcase,
    make_esc50,
    make_librispeech,
    make_speech_commands,
    open_folder,
)

INDEX = LabelOrder(name="audioset/index", classes=("Speech", "Music", "Bark", "Zither"))
ALPHABETICAL = LabelOrder(name="audioset/alphabetical", classes=tuple(sorted(INDEX.classes)))
names = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=12, unique=True)


def order_of(classes, name="test/given"):
    return LabelOrder(name=name, classes=tuple(classes))


def complaint(*arguments, **options):
    with pytest.raises(BatError) as caught:
        mapping(*arguments, **options)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# --- mapping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("remap", [True, False])
def test_one_order_needs_no_mapping_whatever_its_name(remap):
    assert mapping(INDEX, INDEX, remap=remap) is None
    assert mapping(INDEX, order_of(INDEX.classes, "csv/given"), remap=remap) is None
    assert mapping(order_of([]), order_of([], "librispeech/none"), remap=remap) is None


def test_another_order_is_refused_with_both_names_and_the_way_out():
    text = complaint(INDEX, ALPHABETICAL, remap=False)
    assert "audioset/index" in text
    assert "audioset/alphabetical" in text
    assert "agree in 2 of 4 places" in text  # Music and Zither
    assert "--remap-labels" in text


def test_one_name_does_not_make_two_orders_one():
    other = order_of(["Music", "Speech", "Bark", "Zither"], INDEX.name)
    assert "agree in 2 of 4 places" in complaint(INDEX, other, remap=False)


def test_on_request_outputs_are_brought_into_the_manifests_order():
    places = mapping(INDEX, ALPHABETICAL, remap=True)
    assert [INDEX.classes[place] for place in places] == ["Bark", "Music", "Speech", "Zither"]


@settings(deadline=None)
@given(names, st.randoms())
def test_a_remapped_head_says_of_every_class_what_it_said_before(classes, random):
    shuffled = random.sample(classes, len(classes))
    places = mapping(order_of(classes), order_of(shuffled), remap=True)
    logits = np.arange(len(classes)) * 1.5
    said = dict(zip(classes, logits, strict=True))
    remapped = logits if places is None else logits[places]
    assert dict(zip(shuffled, remapped, strict=True)) == said
    assert (places is None) == (shuffled == classes)


@pytest.mark.parametrize("remap", [True, False])
def test_other_classes_are_refused_and_the_first_few_are_named(remap):
    head = order_of(["a", "b", "c", "d", "e", "shared"], "csv/given")
    manifest = order_of(["shared", "x"], "csv/sorted")
    text = complaint(head, manifest, remap=remap)
    assert "csv/given" in text
    assert "csv/sorted" in text
    assert "only the head has 'a', 'b', 'c' and 2 more" in text
    assert "only the manifest has 'x'" in text
    assert "none more" in complaint(order_of(["a"]), order_of(["a", "b"]), remap=remap)


@settings(deadline=None)
@given(names, names)
def test_a_mapping_never_joins_classes_of_different_names(head, manifest):
    try:
        places = mapping(order_of(head), order_of(manifest), remap=True)
    except BatError:
        assert set(head) != set(manifest)
    else:
        assert [head[place] for place in places or range(len(head))] == manifest


# --- in files ---------------------------------------------------------------------------------


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(BatError, match=r"csv/given.*different names.*'b' more than once"):
        order_of(["a", "b", "c", "b"], "csv/given")


def write(path, metadata):
    pl.DataFrame({"a": [1]}).write_parquet(path, metadata=metadata)
    return path


@settings(deadline=None)
@given(classes=names, name=st.text(max_size=20))
def test_an_order_survives_the_way_to_disk(tmp_path_factory, classes, name):
    path = tmp_path_factory.mktemp("order") / "table.parquet"
    order = order_of(classes, name)
    assert read_order(write(path, order.metadata())) == order


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "expected 'classes' in the metadata"),
        ({"classes": '["a"]'}, "expected 'order' in the metadata"),
        ({"classes": "a, b", "order": "x"}, "expected classes as JSON, found 'a, b'"),
        ({"classes": '{"a": 1}', "order": "x"}, "expected classes as a JSON list of text"),
        ({"classes": "[1, 2]", "order": "x"}, "expected classes as a JSON list of text"),
        ({"classes": '["a", "a"]', "order": "x"}, "different names, found 'a' more than once"),
    ],
)
def test_a_table_that_does_not_say_its_order_is_refused(tmp_path, metadata, message):
    path = write(tmp_path / "table.parquet", metadata)
    with pytest.raises(BatError, match=message) as caught:
        read_order(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_metadata_is_plain_json_for_other_readers(tmp_path):
    path = write(tmp_path / "table.parquet", INDEX.metadata())
    metadata = pl.read_parquet_metadata(path)
    assert json.loads(metadata["classes"]) == list(INDEX.classes)
    assert metadata["order"] == "audioset/index"


# --- layouts ----------------------------------------------------------------------------------


MAKERS = {
    "esc50": make_esc50,
    "speech-commands": make_speech_commands,
    "audioset": make_audioset,
    "dcase2016-task2": make_dcase,
    "birdset": make_birdset,
    "librispeech": make_librispeech,
    "csv": make_csv,
}
TABLE = {"table": "birds.csv"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder for each layout."""
    root = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        (root / name).mkdir()
        make(root / name)
    return root


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("esc50", {}, "esc50/target"),
        ("speech-commands", {}, "speech-commands/12"),
        ("audioset", {"order": "index"}, "audioset/index"),
        ("audioset", {"order": "alphabetical"}, "audioset/alphabetical"),
        ("dcase2016-task2", {}, "dcase2016-task2/vocabulary"),
        ("birdset", {}, "birdset/sorted"),
        ("birdset", {"classes": "codes.txt"}, "birdset/codes.txt"),
        ("librispeech", {}, "librispeech/none"),
        ("csv", TABLE, "csv/sorted"),
        ("csv", TABLE | {"classes": ["wren", "robin"]}, "csv/given"),
    ],
)
def test_every_layout_names_its_order(made, name, options, expected):
    if "codes.txt" in options.values():
        codes = read_layout(name, open_folder(made / name)).classes[::-1]
        (made / name / "codes.txt").write_text("".join(f"{code}\n" for code in codes))
    if name == "csv" and "classes" in options:
        classes = read_layout(name, open_folder(made / name), **TABLE).classes
        options = options | {"classes": list(classes[::-1])}
    listing = read_layout(name, open_folder(made / name), **options)
    assert listing.label_order == LabelOrder(name=expected, classes=listing.classes)
    assert name in LAYOUTS


def test_the_meetings_name_their_order(listing):
    assert listing.label_order.name == "meetings/number"


def test_the_two_orders_of_audioset_are_two(made):
    index, alphabetical = (
        read_layout("audioset", open_folder(made / "audioset"), order=order).label_order
        for order in ("index", "alphabetical")
    )
    assert "the manifest in audioset/alphabetical" in complaint(index, alphabetical, remap=False)
    places = mapping(index, alphabetical, remap=True)
    assert [index.classes[place] for place in places] == sorted(index.classes)
