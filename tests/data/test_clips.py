from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.data.clips import Clips, read_clips
from bat.data.entries import Event
from bat.data.labels import LabelOrder
from bat.data.manifest import MANIFEST_SCHEMA, window_clips, write_manifest
from bat.data.tables import make_table, write_table
from bat.errors import BatError

CLASSES = ["siren", "dog", "cat"]


def clips_of(*rows, classes=CLASSES):
    """Clips with some columns given and the others plain."""
    component = {"recording_id": "r", "start_sample": 0, "samples": 1, "gain_db": 0.0}
    plain = {"part": "train", "labels": [], "events": [], "components": [component]}
    full = [
        dict.fromkeys(MANIFEST_SCHEMA.columns)
        | plain
        | {"clip_id": f"clip-{number}", "group": [f"recording-{number}"]}
        | row
        for number, row in enumerate(rows)
    ]
    return Clips(make_table(full, MANIFEST_SCHEMA), order_of(*classes))


def order_of(*classes):
    return LabelOrder(name="test/given", classes=classes)


def event(label, onset_s, offset_s):
    return {"label": label, "onset_s": onset_s, "offset_s": offset_s}


# --- labels -----------------------------------------------------------------------------------


def test_labels_are_marked_in_the_order_of_the_classes():
    clips = clips_of({"labels": ["cat", "siren"]}, {"labels": []}, {"labels": ["dog"]})
    expected = [[True, False, True], [False, False, False], [False, True, False]]
    np.testing.assert_array_equal(clips.present, np.array(expected))
    assert clips.present.dtype == bool


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.sampled_from(CLASSES)), max_size=9))
def test_present_says_what_the_labels_say(labels):
    clips = clips_of(*({"labels": sorted(of_clip)} for of_clip in labels))
    assert clips.present.shape == (len(labels), 3)
    for row, of_clip in zip(clips.present, labels, strict=True):
        assert {name for name, here in zip(CLASSES, row, strict=True) if here} == of_clip


def test_clips_without_classes_have_labels_of_no_width():
    assert clips_of({}, {}, classes=()).present.shape == (2, 0)


def test_a_label_that_is_no_class_is_refused(tmp_path):
    clips = clips_of({"labels": ["dog"]})
    metadata = order_of("cat").metadata()
    write_table(clips.manifest, tmp_path / "m", MANIFEST_SCHEMA, metadata=metadata)
    with pytest.raises(BatError, match="found 1 others, the first is 'dog'"):
        read_clips(tmp_path / "m")


def test_clips_are_read_as_they_were_written(ledger, listing, store, tmp_path):
    windows = window_clips(ledger, store, clip_s=1.0, minimum_rms=0.003)
    write_manifest(tmp_path / "m", windows, listing.label_order)
    clips = read_clips(tmp_path / "m")
    assert clips.ids == windows["clip_id"].to_list()
    assert clips.classes == list(listing.classes) == [f"speaker-{n}" for n in range(9)]
    assert clips.description == {
        "classes": clips.classes,
        "order": "meetings/number",
        "comparison_set": None,
    }
    assert clips.parts == [f"meeting-{n}" for n in range(5)]
    assert (clips.present.sum(axis=1) == 1).all()
    assert [clips.classes[index] for index in clips.present.argmax(axis=1)] == [
        name.split("/")[1] for name in clips.ids
    ]


# --- splits -----------------------------------------------------------------------------------


@pytest.fixture
def parts():
    names = ("train", "test", "train", "validation", "test", "other")
    return clips_of(*({"part": name} for name in names))


def test_a_split_gives_the_indices_of_its_sides(parts):
    train, validation, test = parts.split(
        train=["train", "other"], validation=["validation"], test=["test"]
    )
    assert (train.tolist(), validation.tolist(), test.tolist()) == ([0, 2, 5], [3], [1, 4])
    assert parts.of(["other", "test"]).tolist() == [1, 4, 5]


def test_a_split_needs_no_validation(parts):
    train, validation, test = parts.split(train=["train"], validation=[], test=["test"])
    assert (train.tolist(), validation.tolist(), test.tolist()) == ([0, 2], [], [1, 4])


@pytest.mark.parametrize("empty", ["train", "validation", "test"])
def test_an_empty_part_is_named_beside_the_known_ones(parts, empty):
    sides = {"train": ["train"], "test": ["test"]} | {empty: ["fold-9"]}
    known = "train, test, validation, other"
    with pytest.raises(BatError, match=f"{empty}: part 'fold-9' has no clip; known parts: {known}"):
        parts.split(**sides)


@pytest.mark.parametrize("empty", ["train", "test"])
def test_a_side_without_parts_is_refused(parts, empty):
    with pytest.raises(BatError, match=f"split: {empty}: no part is named"):
        parts.split(**{"train": ["train"], "test": ["test"]} | {empty: []})


@pytest.mark.parametrize(
    "crossed", [("train", "test"), ("train", "validation"), ("validation", "test")]
)
def test_a_recording_on_two_sides_is_refused(crossed):
    rows = [{"part": part} for part in ("train", "validation", "test")]
    shared = [{"part": part, "group": [f"only-{part}", "shared"]} for part in crossed]
    clips = clips_of(*rows, *shared)
    message = f"1 recordings are in both {crossed[0]} and {crossed[1]} clips, the first is shared"
    with pytest.raises(BatError, match=message):
        clips.split(train=["train"], validation=["validation"], test=["test"])


def test_another_order_of_clips_is_refused():
    clips = clips_of({}, {})
    clips.check_order(("clip-0", "clip-1"), Path("shard"))
    for wrong in (("clip-1", "clip-0"), ("clip-0",), ()):
        with pytest.raises(BatError, match="shard: holds"):
            clips.check_order(wrong, Path("shard"))


# --- events -----------------------------------------------------------------------------------


def test_events_are_those_of_the_clip():
    clips = clips_of({}, {"events": [event("dog", 0.5, 1.0), event("cat", 0.0, 0.25)]})
    assert clips.events(0) == []
    assert clips.events(1) == [
        Event(label="dog", onset_s=0.5, offset_s=1.0),
        Event(label="cat", onset_s=0.0, offset_s=0.25),
    ]


def active_frames(*events, frames=10, frame_s=0.1, label="dog"):
    clips = clips_of({"events": list(events)})
    labels = clips.frame_labels(frames, frame_s)
    assert labels.shape == (1, frames, 3)
    return np.flatnonzero(labels[0, :, CLASSES.index(label)]).tolist()


@pytest.mark.parametrize(
    ("onset_s", "offset_s", "expected"),
    [
        (0.0, 0.1, [0]),
        (0.3, 0.6, [3, 4, 5]),  # 3 * 0.1 is more than 0.3 in floating point
        (0.31, 0.6, [4, 5]),
        (0.29, 0.61, [3, 4, 5, 6]),
        (0.31, 0.39, []),
        (0.3, 0.3, []),
        (0.85, 7.0, [9]),
        (5.0, 7.0, []),
        (0.0, 5.0, list(range(10))),
    ],
)
def test_a_frame_is_active_from_onset_to_before_offset(onset_s, offset_s, expected):
    assert active_frames(event("dog", onset_s, offset_s)) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 750), st.integers(0, 750), st.sampled_from([10, 20, 50, 160]))
def test_events_on_the_grid_of_frames_are_exact(first, last, frame_ms):
    first, last = sorted((first, last))
    found = active_frames(
        event("dog", first * frame_ms / 1000, last * frame_ms / 1000),
        frames=750,
        frame_s=frame_ms / 1000,
    )
    assert found == list(range(first, last))


def test_overlapping_events_and_clips_do_not_mix():
    clips = clips_of(
        {"events": [event("dog", 0.0, 0.2), event("dog", 0.1, 0.3), event("cat", 0.2, 0.4)]},
        {},
        {"events": [event("siren", 0.1, 0.2)]},
    )
    labels = clips.frame_labels(4, 0.1)
    assert np.argwhere(labels).tolist() == [
        [0, 0, 1],
        [0, 1, 1],
        [0, 2, 1],
        [0, 2, 2],
        [0, 3, 2],
        [2, 1, 0],
    ]


def test_clips_without_events_have_no_active_frame():
    assert not clips_of({}, {}).frame_labels(5, 0.16).any()


# --- transcripts ------------------------------------------------------------------------------


def test_transcripts_stand_in_the_order_of_the_clips():
    clips = clips_of({"transcript": "good dog"}, {"transcript": ""}, {"transcript": "bad cat"})
    assert clips.transcripts == ["good dog", "", "bad cat"]


def test_a_clip_without_transcript_is_named():
    clips = clips_of({"transcript": "good dog"}, {}, {})
    with pytest.raises(BatError, match="2 have none, the first is clip-1"):
        _ = clips.transcripts
