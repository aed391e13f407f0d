"""The metrics are scikit-learn's, sed_eval's and jiwer's, and weights are numbers of copies."""

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from bat.data.entries import Event
from bat.errors import BatError
from bat.evaluation.metrics import LOWER_IS_BETTER, METRICS, average_precision, evaluate
from bat.evaluation.predictions import Events, Predictions, Texts

GOLDEN = Path(__file__).parents[1] / "golden"
OF_CLIPS = ["accuracy", "mAP", "F1"]
OF_SCORES = [*OF_CLIPS, "frame_mAP"]


def ones(clips):
    return np.ones((1, clips))


def of_clips(scores, present):
    """Scores as halves, quarters and the like, which single precision does not change."""
    clips = [f"clip-{index}" for index in range(len(scores))]
    return Predictions(fold="a", seed=0, clips=clips, scores=scores, present=present)


def of_events(reference, found):
    empty = np.zeros((len(reference), 1))
    return replace(of_clips(empty, empty > 0), events=Events(reference=reference, found=found))


def of_texts(reference, found):
    empty = np.zeros((len(reference), 0))
    return replace(of_clips(empty, empty > 0), texts=Texts(reference=reference, found=found))


def take(run, order):
    """The clips of ``order``, in that order and as often as they stand in it."""
    events, texts = run.events, run.texts
    return replace(
        run,
        clips=[run.clips[i] for i in order],
        scores=run.scores[order],
        present=run.present[order],
        events=events
        and Events(
            reference=[events.reference[i] for i in order],
            found=[events.found[i] for i in order],
        ),
        texts=texts
        and Texts(
            reference=[texts.reference[i] for i in order],
            found=[texts.found[i] for i in order],
        ),
    )


@st.composite
def multi_label(draw, max_clips=24, max_classes=4):
    """Scores with many ties, and labels with at least one positive of each class."""
    clips = draw(st.integers(1, max_clips))
    classes = draw(st.integers(1, max_classes))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.integers(1, 8))
    scores = generator.integers(0, levels + 1, (clips, classes)) / levels
    present = generator.random((clips, classes)) < draw(st.floats(0, 1))
    present[generator.integers(0, clips, classes), np.arange(classes)] = True
    return scores, present, generator


@given(multi_label(max_classes=1))
def test_average_precision_is_scikit_learns(case):
    scores, present, _ = case
    found = average_precision(scores[:, 0], present[:, 0], ones(len(scores)))
    assert found.shape == (1,)
    assert found[0] == pytest.approx(average_precision_score(present[:, 0], scores[:, 0]))


@given(multi_label())
def test_mean_average_precision_is_scikit_learns(case):
    scores, present, _ = case
    run = of_clips(scores, present)
    expected = average_precision_score(present, run.scores, average="macro")
    assert evaluate("mAP", run) == pytest.approx(expected)


@given(multi_label())
def test_macro_f1_is_scikit_learns(case):
    scores, present, _ = case
    found = scores >= 0.5
    # class by class: scikit-learn takes a single column for two classes, absent and present
    of_class = [f1_score(*pair, zero_division=0) for pair in zip(present.T, found.T, strict=True)]
    assert evaluate("F1", of_clips(scores, present)) == pytest.approx(np.mean(of_class))


@given(multi_label(), st.integers(0, 100))
def test_accuracy_is_scikit_learns(case, seed):
    scores, _, _ = case
    truth = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    present = np.eye(scores.shape[1], dtype=bool)[truth]
    expected = accuracy_score(truth, scores.argmax(axis=1))
    assert evaluate("accuracy", of_clips(scores, present)) == pytest.approx(expected)


@st.composite
def frame_wise(draw):
    """A run with many tied scores, whose clips may be without any label, but not all."""
    shape = tuple(draw(st.integers(1, high)) for high in (6, 7, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.integers(1, 8))
    present = generator.random(shape) < draw(st.floats(0, 1))
    present[generator.integers(shape[0]), 0, 0] = True
    return of_clips(generator.integers(0, levels + 1, shape) / levels, present), generator


@given(frame_wise())
def test_frame_wise_average_precision_is_scikit_learns_over_all_frames_and_classes(case):
    run, _ = case
    expected = average_precision_score(run.present.ravel(), run.scores.ravel())
    assert evaluate("frame_mAP", run) == pytest.approx(expected)


@st.composite
def eventful(draw):
    """A run whose found events are near the true ones, or anywhere; some at the collar's edge."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))

    def event(onset_s):
        label = "abc"[generator.integers(3)]
        return Event(label=label, onset_s=float(onset_s), offset_s=float(onset_s) + 0.1)

    reference, found = [], []
    for _ in range(draw(st.integers(1, 4))):
        onsets = generator.integers(0, 20, generator.integers(0, 8)) * 0.1
        reference.append([event(onset) for onset in onsets])
        near = [one for one in reference[-1] if generator.random() < 0.7]
        shifts = generator.choice([-0.3, -0.2, -0.1, 0, 0.2, 0.25], len(near))
        moved = [
            replace(one, onset_s=one.onset_s + by, offset_s=one.offset_s + by)
            for one, by in zip(near, shifts.tolist(), strict=True)
        ]
        found.append(moved + [event(onset) for onset in generator.random(generator.integers(0, 6))])
    reference[0].append(event(0.5))
    return of_events(reference, found), generator


def records(events, file):
    return [
        {
            "file": file, "event_label": event.label,
            "event_onset": event.onset_s, "event_offset": event.offset_s,
        }
        for event in events
    ]  # fmt: skip


def sed_evals_onset_f1(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sed_eval
    metric = sed_eval.sound_event.EventBasedMetrics(
        ["a", "b", "c"], t_collar=0.2, evaluate_onset=True, evaluate_offset=False
    )
    for clip, reference, found in zip(
        run.clips, run.events.reference, run.events.found, strict=True
    ):
        metric.evaluate(records(reference, clip), records(found, clip))
    return metric.results_overall_metrics()["f_measure"]["f_measure"]


@given(eventful())
def test_onset_f1_is_sed_evals_over_all_clips(case):
    run, _ = case
    expected = sed_evals_onset_f1(run)
    # sed_eval has no precision, and so no F-measure, where nothing is found
    assert evaluate("onset_F1", run) == pytest.approx(0 if np.isnan(expected) else expected)


WORDS = st.lists(st.sampled_from(["one", "two", "too", "o'clock"]), max_size=6).map(" ".join)


@st.composite
def spoken(draw):
    pairs = draw(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
    pairs.append(("one two", draw(WORDS)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    return of_texts([one for one, _ in pairs], [other for _, other in pairs]), generator


@given(spoken())
def test_error_rates_are_jiwers_over_all_clips(case):
    run, _ = case
    texts = run.texts
    assert evaluate("WER", run) == pytest.approx(jiwer.wer(texts.reference, texts.found))
    assert evaluate("CER", run) == pytest.approx(jiwer.cer(texts.reference, texts.found))


CASES = {
    **dict.fromkeys(OF_CLIPS, multi_label().map(lambda case: (of_clips(*case[:2]), case[2]))),
    "frame_mAP": frame_wise(),
    "onset_F1": eventful(),
    "WER": spoken(),
    "CER": spoken(),
}  # fmt: skip


def test_every_metric_is_tried():
    assert CASES.keys() == METRICS.keys()
    assert METRICS.keys() > LOWER_IS_BETTER


# a resample without any positive has no value, and numpy says so
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.parametrize("metric", METRICS)
@given(data=st.data())
def test_a_weight_is_a_number_of_copies(metric, data):
    run, generator = data.draw(CASES[metric])
    weights = generator.integers(0, 4, (3, len(run.clips)))
    weights[:, 0] += 1
    found = METRICS[metric](run, weights.astype(float))
    assert found.shape == (3,)
    for row, value in zip(weights, found, strict=True):
        again = take(run, np.repeat(np.arange(len(row)), row))
        try:
            assert value == pytest.approx(evaluate(metric, again))
        except BatError:
            assert metric == "accuracy" or np.isnan(value)


@pytest.mark.parametrize("metric", METRICS)
@given(data=st.data())
def test_metrics_are_shares_and_do_not_depend_on_the_order_of_clips(metric, data):
    run, generator = data.draw(CASES[metric])
    value = evaluate(metric, run)
    assert value >= 0
    assert metric in LOWER_IS_BETTER or value <= 1 + 1e-12
    order = generator.permutation(len(run.clips))
    assert evaluate(metric, take(run, order)) == pytest.approx(value)


@given(multi_label())
def test_average_precision_depends_on_the_ranking_only(case):
    scores, present, _ = case
    moved = of_clips(np.exp(3 * scores) - 7, present)
    assert evaluate("mAP", moved) == pytest.approx(evaluate("mAP", of_clips(scores, present)))


def test_constant_scores_have_the_share_of_positives_as_average_precision():
    present = np.array([True, False, False, True, False])
    assert average_precision(np.zeros(5), present, ones(5))[0] == pytest.approx(0.4)


def test_a_perfect_ranking_is_one_and_the_worst_is_known():
    present = np.array([True, True, False, False])
    assert average_precision(np.array([4.0, 3, 2, 1]), present, ones(4))[0] == 1
    worst = average_precision(np.array([1.0, 2, 3, 4]), present, ones(4))[0]
    assert worst == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_a_resample_without_a_positive_has_no_average_precision():
    found = average_precision(
        np.array([0.1, 0.9]), np.array([True, False]), np.array([[0.0, 2.0], [1.0, 1.0]])
    )
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0.5)


def test_a_class_without_a_positive_does_not_count():
    run = of_clips(np.array([[0.9, 0.2], [0.1, 0.8]]), np.array([[True, False], [False, False]]))
    assert evaluate("mAP", run) == 1
    assert evaluate("F1", run) == 1


def test_half_is_found():
    scores = np.array([[0.5], [np.nextafter(np.float32(0.5), np.float32(0))]])
    run = of_clips(scores, np.array([[True], [True]]))
    assert evaluate("F1", run) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("metric", "scores", "expected"),
    [
        ("mAP", "scores", "map_macro"),
        ("mAP", "scores_tied", "map_macro_tied"),
        ("F1", "scores", "f1_macro_at_0.5"),
    ],
)
def test_metrics_agree_with_the_reference(metric, scores, expected):
    case = load_file(GOLDEN / "metrics_multilabel.safetensors")
    run = of_clips(case[scores], case["targets"] == 1)
    assert 100 * evaluate(metric, run) == pytest.approx(float(case[expected][0]), rel=1e-6)


# --- events -----------------------------------------------------------------------------------


def at(label, onset_s, offset_s=9.0):
    return Event(label=label, onset_s=onset_s, offset_s=offset_s)


@pytest.mark.parametrize(
    ("found", "f1"),
    [
        ([at("a", 1.0)], 1),
        ([at("a", 1.19)], 1),
        ([at("a", 0.81, offset_s=1.0)], 1),
        ([at("a", 1.21)], 0),
        ([at("b", 1.0)], 0),
        ([at("a", 1.0), at("a", 1.1)], 2 / 3),
        ([], 0),
    ],
)
def test_an_event_is_found_by_its_class_and_its_onset_and_only_once(found, f1):
    assert evaluate("onset_F1", of_events([[at("a", 1.0)]], [found])) == pytest.approx(f1)


def test_events_are_matched_as_well_as_can_be_whatever_their_order():
    reference, found = [at("a", 1.0), at("a", 1.3)], [at("a", 1.15), at("a", 0.9)]
    assert evaluate("onset_F1", of_events([reference], [found])) == 1


def test_an_event_is_not_found_in_another_clip():
    assert evaluate("onset_F1", of_events([[at("a", 1.0)], []], [[], [at("a", 1.0)]])) == 0


def test_every_event_counts_the_same_whatever_its_clip():
    reference = [[at("a", 1.0)], [at("a", float(onset)) for onset in range(3)]]
    # 1 hit of 1 found and 1 true, 0 hits of 0 found and 3 true
    assert evaluate("onset_F1", of_events(reference, [[at("a", 1.0)], []])) == pytest.approx(2 / 5)


def test_a_resample_without_events_has_no_onset_f1():
    run = of_events([[at("a", 1.0)], []], [[at("a", 1.0)], []])
    found = METRICS["onset_F1"](run, np.array([[0.0, 2.0], [1.0, 1.0]]))
    assert np.isnan(found[0])
    assert found[1] == 1


def test_counting_events_warns_of_nothing_that_is_not_the_users(tmp_path):
    script = (
        "import numpy as np\n"
        "from bat.data.entries import Event\n"
        "from bat.evaluation.metrics import evaluate\n"
        "from bat.evaluation.predictions import Events, Predictions\n"
        "of = [[Event(label='a', onset_s=1.0, offset_s=2.0)]]\n"
        "zeros = np.zeros((1, 1))\n"
        "print(evaluate('onset_F1', Predictions(fold='a', seed=0, clips=['a'], scores=zeros,\n"
        "    present=zeros > 0, events=Events(reference=of, found=of))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("1.0\n", "")


# --- transcripts ------------------------------------------------------------------------------


def test_error_rates_weigh_clips_by_their_length():
    run = of_texts(["a", "b c d"], ["x", "b c d"])
    assert evaluate("WER", run) == pytest.approx(1 / 4)
    assert evaluate("CER", run) == pytest.approx(1 / 6)


def test_error_rates_may_exceed_1_and_insertions_where_nothing_is_said_count():
    assert evaluate("WER", of_texts(["a", ""], ["b c", "d e"])) == 4
    assert evaluate("CER", of_texts(["a"], [""])) == 1


def test_case_counts_and_more_space_between_words_does_not_change_words():
    assert evaluate("WER", of_texts(["one  two"], ["one two "])) == 0
    assert evaluate("WER", of_texts(["one two"], ["One two"])) == 0.5


# --- what cannot be evaluated -----------------------------------------------------------------


def shaped(metric, clips=4, classes=3):
    """Scores and labels of the shape that a metric takes."""
    return (clips, 2, classes) if metric == "frame_mAP" else (clips, classes)


@pytest.mark.parametrize("metric", OF_SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(metric, value):
    scores = np.full(shaped(metric), 0.5)
    scores[2, 1] = value
    bad = 3 if metric == "frame_mAP" else 1
    with pytest.raises(BatError, match=f"{metric}: {bad} scores are not finite"):
        evaluate(metric, of_clips(scores, np.ones(scores.shape, dtype=bool)))


@pytest.mark.parametrize("shape", [(4, 2), (3, 3), (4,), (0, 3), (4, 1, 3)])
def test_shapes_that_do_not_match_are_refused(shape):
    with pytest.raises(BatError, match="do not match"):
        of_clips(np.zeros(shape), np.ones((4, 3), dtype=bool))


@pytest.mark.parametrize("shape", [(), (4,), (0, 3), (0, 2, 3), (1, 1, 1, 1)])
def test_what_is_neither_clips_nor_frames_is_refused(shape):
    with pytest.raises(BatError, match="do not match"):
        Predictions(
            fold="a", seed=0, clips=["x"] * (shape[0] if shape else 0),
            scores=np.zeros(shape), present=np.ones(shape, dtype=bool),
        )  # fmt: skip


@pytest.mark.parametrize("change", [
    {"clips": ["x"]},
    {"events": Events(reference=[[]], found=[[], []])},
    {"events": Events(reference=[[], []], found=[[], [], []])},
    {"texts": Texts(reference=["a"], found=["a", "b"])},
    {"texts": Texts(reference=["a", "b"], found=[])},
])  # fmt: skip
def test_what_is_not_there_for_every_clip_is_refused(change):
    run = of_clips(np.zeros((2, 3)), np.ones((2, 3), dtype=bool))
    with pytest.raises(BatError, match=r"fold a, seed 0: \d clips and \d .* do not match"):
        replace(run, **change)


@pytest.mark.parametrize("metric", OF_SCORES)
def test_a_test_set_without_any_label_is_refused(metric):
    shape = shaped(metric)
    with pytest.raises(BatError, match=f"{metric}: no clip has a label"):
        evaluate(metric, of_clips(np.full(shape, 0.5), np.zeros(shape, dtype=bool)))


@pytest.mark.parametrize("metric", OF_SCORES)
def test_scores_per_clip_are_not_taken_for_scores_per_frame(metric):
    shape = shaped("mAP" if metric == "frame_mAP" else "frame_mAP")
    with pytest.raises(BatError, match=rf"{metric}: expected scores \[clips, .*\], found"):
        evaluate(metric, of_clips(np.full(shape, 0.5), np.ones(shape, dtype=bool)))


def test_missing_events_and_texts_are_named():
    run = of_clips(np.zeros((1, 3)), np.ones((1, 3), dtype=bool))
    with pytest.raises(BatError, match="onset_F1: the predictions hold no events"):
        evaluate("onset_F1", run)
    for metric in ("WER", "CER"):
        with pytest.raises(BatError, match=f"{metric}: the predictions hold no texts"):
            evaluate(metric, run)


def test_a_test_set_without_events_or_words_is_refused():
    with pytest.raises(BatError, match="onset_F1: no clip has an event"):
        evaluate("onset_F1", of_events([[], []], [[], [at("a", 1.0)]]))
    for metric in ("WER", "CER"):
        with pytest.raises(BatError, match=f"{metric}: every reference text is empty"):
            evaluate(metric, of_texts(["", " "], ["a", "b"]))


@pytest.mark.parametrize("metric", OF_SCORES)
def test_many_resamples_at_once_are_the_same_as_one_by_one(metric):
    generator = np.random.default_rng(0)
    shape = shaped(metric, clips=50)
    run = of_clips(generator.random(shape), generator.random(shape) < 0.3)
    weights = generator.integers(0, 3, (10, 50)).astype(float)
    together = METRICS[metric](run, weights)
    alone = [METRICS[metric](run, row[None])[0] for row in weights]
    np.testing.assert_allclose(together, alone)
