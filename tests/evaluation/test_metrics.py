"""The metrics are scikit-learn's, ties included, and weights are numbers of copies."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from bat.errors import BatError
from bat.evaluation.metrics import (
    METRICS,
    accuracy,
    average_precision,
    evaluate,
    macro_f1,
    mean_average_precision,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def ones(clips):
    return np.ones((1, clips))


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
    expected = average_precision_score(present, scores, average="macro")
    assert evaluate("mAP", scores, present) == pytest.approx(expected)


@given(multi_label())
def test_macro_f1_is_scikit_learns(case):
    scores, present, _ = case
    found = scores >= 0.5
    # class by class: scikit-learn takes a single column for two classes, absent and present
    of_class = [f1_score(*pair, zero_division=0) for pair in zip(present.T, found.T, strict=True)]
    assert evaluate("F1", scores, present) == pytest.approx(np.mean(of_class))


@given(multi_label(), st.integers(0, 100))
def test_accuracy_is_scikit_learns(case, seed):
    scores, _, _ = case
    truth = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    present = np.eye(scores.shape[1], dtype=bool)[truth]
    expected = accuracy_score(truth, scores.argmax(axis=1))
    assert evaluate("accuracy", scores, present) == pytest.approx(expected)


# a resample without any positive has no value, and numpy says so
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.parametrize("metric", METRICS)
@given(case=multi_label())
def test_a_weight_is_a_number_of_copies(metric, case):
    scores, present, generator = case
    weights = generator.integers(0, 4, (3, len(scores)))
    weights[:, 0] += 1
    found = METRICS[metric](scores, present, weights.astype(float))
    assert found.shape == (3,)
    for row, value in zip(weights, found, strict=True):
        again_scores, again_present = np.repeat(scores, row, 0), np.repeat(present, row, 0)
        if again_present.any():
            assert value == pytest.approx(evaluate(metric, again_scores, again_present))
        else:
            assert metric == "accuracy" or np.isnan(value)


@pytest.mark.parametrize("metric", METRICS)
@given(case=multi_label())
def test_metrics_are_shares_and_do_not_depend_on_the_order_of_clips(metric, case):
    scores, present, generator = case
    value = evaluate(metric, scores, present)
    assert 0 <= value <= 1 + 1e-12
    order = generator.permutation(len(scores))
    assert evaluate(metric, scores[order], present[order]) == pytest.approx(value)


@given(multi_label())
def test_average_precision_depends_on_the_ranking_only(case):
    scores, present, _ = case
    assert evaluate("mAP", np.exp(3 * scores) - 7, present) == pytest.approx(
        evaluate("mAP", scores, present)
    )


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
    scores = np.array([[0.9, 0.2], [0.1, 0.8]])
    present = np.array([[True, False], [False, False]])
    assert evaluate("mAP", scores, present) == 1
    assert evaluate("F1", scores, present) == 1


def test_half_is_found():
    scores, present = np.array([[0.5], [np.nextafter(0.5, 0)]]), np.array([[True], [True]])
    assert evaluate("F1", scores, present) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("metric", "scores", "expected"),
    [
        (mean_average_precision, "scores", "map_macro"),
        (mean_average_precision, "scores_tied", "map_macro_tied"),
        (macro_f1, "scores", "f1_macro_at_0.5"),
    ],
)
def test_metrics_agree_with_the_reference(metric, scores, expected):
    case = load_file(GOLDEN / "metrics_multilabel.safetensors")
    present = case["targets"] == 1
    found = metric(case[scores].astype(np.float64), present, ones(len(present)))[0]
    assert 100 * found == pytest.approx(float(case[expected][0]), rel=1e-6)


# --- what cannot be evaluated -----------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(metric, value):
    scores, present = np.full((4, 3), 0.5), np.eye(4, 3, dtype=bool)
    scores[2, 1] = value
    with pytest.raises(BatError, match=f"{metric}: 1 scores are not finite"):
        evaluate(metric, scores, present)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(4, 2), (3, 3), (4,), (0, 3)])
def test_shapes_that_do_not_match_are_refused(metric, shape):
    with pytest.raises(BatError, match="do not match"):
        evaluate(metric, np.zeros(shape), np.ones((4, 3), dtype=bool))
    with pytest.raises(BatError, match="do not match"):
        evaluate(metric, np.zeros((0, 3)), np.ones((0, 3), dtype=bool))


@pytest.mark.parametrize("metric", METRICS)
def test_a_test_set_without_any_label_is_refused(metric):
    with pytest.raises(BatError, match="no clip has a label"):
        evaluate(metric, np.full((4, 3), 0.5), np.zeros((4, 3), dtype=bool))


def test_many_resamples_at_once_are_the_same_as_one_by_one():
    generator = np.random.default_rng(0)
    scores, present = generator.random((50, 3)), generator.random((50, 3)) < 0.3
    weights = generator.integers(0, 3, (10, 50)).astype(float)
    for metric in (mean_average_precision, macro_f1, accuracy):
        together = metric(scores, present, weights)
        alone = [metric(scores, present, row[None])[0] for row in weights]
        np.testing.assert_allclose(together, alone)
