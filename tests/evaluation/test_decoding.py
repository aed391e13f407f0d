"""Events and texts are read from scores as the reference reads them."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bat.data.entries import Event
from bat.errors import BatError
from bat.evaluation.decoding import (
    CHARACTERS,
    ctc_collapse,
    ctc_text,
    decode_events,
    encode_text,
    normalise_text,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/decoding.json").read_text("utf-8"))


def decode(probabilities_TC, frame_s=0.16, threshold=0.3, median_filter=3, classes=None):
    probabilities = np.asarray(probabilities_TC, dtype=float)
    return decode_events(
        probabilities,
        frame_s=frame_s,
        threshold=threshold,
        median_filter=median_filter,
        classes=classes or [f"class-{c}" for c in range(probabilities.shape[1])],
    )


def spans(events, label="class-0"):
    """First and last second of the events of a class."""
    return [(event.onset_s, event.offset_s) for event in events if event.label == label]


# --- events -----------------------------------------------------------------------------------


def test_events_agree_with_the_reference():
    case = GOLDEN["sed"]
    events = decode(
        np.array(case["probabilities"]).T,
        frame_s=case["patch_stride_ms"] / 1000,
        threshold=case["threshold"],
        median_filter=case["median_filter"],
    )
    for c, expected in enumerate(case["events_s"]):
        found = spans(events, f"class-{c}")
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    assert len(events) == sum(map(len, case["events_s"]))


@st.composite
def frames(draw):
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return generator.integers(0, 6, shape) / 5


@given(frames(), st.sampled_from([1, 3, 5, 7]), st.sampled_from([0.02, 0.16, 1.0]))
def test_a_frame_is_inside_an_event_where_the_filtered_probability_is_above(case, length, frame_s):
    active = ndimage.median_filter(case, size=(length, 1)) > 0.4
    events = decode(case, frame_s=frame_s, threshold=0.4, median_filter=length)
    for c in range(case.shape[1]):
        covered = np.zeros(len(case), dtype=bool)
        for onset_s, offset_s in spans(events, f"class-{c}"):
            covered[round(onset_s / frame_s) : round(offset_s / frame_s) + 1] = True
        np.testing.assert_array_equal(covered, active[:, c])


@given(frames())
def test_events_of_a_class_are_apart_and_all_are_in_order(case):
    events = decode(case, median_filter=1)
    assert [event.onset_s for event in events] == sorted(event.onset_s for event in events)
    for c in range(case.shape[1]):
        found = spans(events, f"class-{c}")
        assert all(onset <= offset for onset, offset in found)
        assert all(later[0] - earlier[1] > 1.5 * 0.16 for earlier, later in pairwise(found))


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_a_single_frame_is_filtered_out_and_a_single_gap_is_filled():
    assert spans(decode(column(0, 0, 1, 0, 0), frame_s=1)) == []
    assert spans(decode(column(0, 1, 1, 0, 1, 1, 0), frame_s=1)) == [(1, 5)]


def test_an_event_of_one_frame_starts_and_ends_at_the_same_time():
    assert spans(decode(column(0, 1, 0), frame_s=1, median_filter=1)) == [(1, 1)]
    # what lies between two active frames
    assert spans(decode(column(0, 1, 0, 1, 0), frame_s=1)) == [(2, 2)]


def test_the_first_and_the_last_frame_stay_as_they_are_in_a_filter_of_three():
    assert spans(decode(column(1, 0, 0, 0, 1), frame_s=1)) == [(0, 0), (4, 4)]


def test_a_probability_at_the_threshold_is_no_activity():
    assert decode(column(0.5, 0.5, 0.5), threshold=0.5) == []
    assert len(decode(column(0.5, 0.5, 0.5), threshold=0.49)) == 1


def test_classes_do_not_run_into_each_other():
    events = decode([[1, 0], [1, 0], [0, 1], [0, 1]], frame_s=0.5, classes=["dog", "bell"])
    assert events == [
        Event(label="dog", onset_s=0, offset_s=0.5),
        Event(label="bell", onset_s=1, offset_s=1.5),
    ]


def test_single_and_no_frames_can_be_decoded():
    assert spans(decode([[0.9]], median_filter=5)) == [(0, 0)]
    assert decode(np.zeros((0, 2))) == []


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 4, 2)])
def test_probabilities_of_another_shape_are_refused(shape):
    with pytest.raises(BatError, match=r"expected probabilities \[frames, 2\], found"):
        decode(np.zeros(shape), classes=["dog", "bell"])


def test_probabilities_that_are_not_finite_are_refused():
    with pytest.raises(BatError, match="not finite"):
        decode(column(0, np.nan, 0))


@pytest.mark.parametrize("length", [-1, 0, 2, 4])
def test_a_median_filter_without_a_middle_is_refused(length):
    with pytest.raises(BatError, match=f"median_filter={length}"):
        decode(column(0, 1, 0), median_filter=length)


# --- texts ------------------------------------------------------------------------------------


def test_the_vocabulary_is_the_references():
    assert list(CHARACTERS) == GOLDEN["vocabulary"]


@pytest.mark.parametrize("case", range(len(GOLDEN["ctc"]["text"])))
def test_texts_agree_with_the_reference(case):
    indices, text = np.array(GOLDEN["ctc"]["argmax"][case]), GOLDEN["ctc"]["text"][case]
    assert ctc_collapse(indices) == text
    logits = np.random.default_rng(case).normal(size=(len(indices), len(CHARACTERS)))
    logits[np.arange(len(indices)), indices] += 100
    assert ctc_text(logits) == text


TEXTS = st.text(alphabet="".join(CHARACTERS[1:]), max_size=30).map(lambda text: text.strip())


@given(TEXTS, st.randoms(use_true_random=False))
def test_a_text_comes_back_from_frames_that_spell_it(text, random):
    spelt = normalise_text(text)
    frames, previous = [], 0
    for index in encode_text(text):
        # a blank keeps two equal characters apart, and may stand anywhere else
        frames += [0] * (random.randint(0, 2) or index == previous)
        frames += [index] * random.randint(1, 3)
        previous = index
    assert ctc_collapse(np.array([*frames, 0])) == spelt


def test_repeats_count_once_unless_a_blank_is_between():
    assert ctc_collapse(np.array([3, 3, 3])) == "a"
    assert ctc_collapse(np.array([0, 3, 0, 3, 3, 0])) == "aa"
    assert ctc_collapse(np.array([0, 0])) == ""
    assert ctc_collapse(np.array([], dtype=int)) == ""


def test_another_vocabulary_can_be_used():
    assert ctc_text(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]]), ["-", "ä", "ö"]) == "äö"


@pytest.mark.parametrize("shape", [(4,), (4, 28), (1, 4, 29)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(BatError, match=r"expected logits \[frames, 29\], found"):
        ctc_text(np.zeros(shape))


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(BatError, match="not finite"):
        ctc_text(np.full((2, 29), np.nan))


def test_a_transcript_is_spelt_in_lower_case_with_single_spaces():
    assert normalise_text("  IT'S  Ten\nO'CLOCK ") == "it's ten o'clock"
    assert encode_text("A z") == encode_text("a  Z") == [3, 1, 28]


def test_the_blank_is_never_a_target():
    assert 0 not in encode_text("".join(CHARACTERS[1:]))


@pytest.mark.parametrize(
    ("text", "named"), [("caf\u00e9", "é"), ("9 lives", "9"), ("<blank>", "<")]
)
def test_other_characters_are_named(text, named):
    with pytest.raises(BatError, match=named) as caught:
        encode_text(text)
    assert len(str(caught.value).splitlines()) == 1
