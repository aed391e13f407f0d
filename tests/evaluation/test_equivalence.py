"""Intervals from seeds and clips, against independent formulas, and two one-sided tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bat.evaluation.equivalence import (
    Interval,
    agreement,
    contrast_interval,
    seed_half_width,
    share_interval,
)

TINY = 1e-9


def interval(by_seed, deviation, clips=1000, folds=1, confidence=0.9):
    by_seed, deviation = np.asarray(by_seed, float), np.asarray(deviation, float)
    return share_interval(by_seed, deviation, clips=clips, folds=folds, confidence=confidence)


def test_seeds_alone_give_students_interval():
    values = [0.71, 0.73, 0.70, 0.74]
    expected = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    found = contrast_interval(np.asarray(values), 0.0, 0.9)
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize(("hits", "clips"), [(95, 100), (399, 400), (200, 400), (3, 50)])
def test_clips_alone_give_the_exact_interval_of_right_and_wrong(hits, clips):
    share = hits / clips
    # what a bootstrap of that many clips finds
    deviation = np.sqrt(share * (1 - share) / clips)
    found = interval([share] * 3, deviation, clips=clips)
    exact = stats.binomtest(hits, clips).proportion_ci(0.9, method="exact")
    # a little wider: the deviation itself was estimated from these clips
    assert exact.low - 0.02 < found.low <= exact.low
    assert exact.high <= found.high < exact.high + 0.02


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.05 ** (1 / 24), 1.0), (0.0, 0.0, None)])
def test_clips_that_are_all_alike_are_no_certainty(share, low, high):
    found = interval([share] * 3, 0.0, clips=24)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 24) if high is None else high)


def test_one_seed_has_no_limits():
    assert not np.isfinite(seed_half_width(np.asarray([0.7]), 0.9))
    found = interval([0.7], 0.01)
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert agreement(found, 0.7, 0.5) == "undecided"


def test_as_many_folds_as_clips_say_nothing_about_clips():
    found = interval([0.7, 0.7], 0.01, clips=5, folds=5)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_a_spread_that_could_not_be_estimated_decides_nothing():
    assert agreement(interval([0.7, 0.7, 0.7], np.nan), 0.7, 0.9) == "undecided"


def test_error_rates_above_one_have_symmetric_limits():
    found = interval([1.2, 1.2], 0.02)
    assert found.high - 1.2 == pytest.approx(1.2 - found.low)
    assert found.high > 1.2 + 0.03


@given(
    values=st.lists(st.floats(0.02, 0.98), min_size=2, max_size=8),
    deviation=st.floats(1e-4, 0.1),
    clips=st.integers(20, 5000),
    confidence=st.floats(0.5, 0.99),
)
def test_an_interval_holds_its_value_and_grows_with_every_source_of_chance(
    values, deviation, clips, confidence
):
    found = interval(values, deviation, clips=clips, confidence=confidence)
    assert found.low <= found.value <= found.high
    surer = interval(values, deviation, clips=clips, confidence=(1 + confidence) / 2)
    noisier = interval(values, 1.5 * deviation, clips=clips, confidence=confidence)
    for wider in (surer, noisier):
        assert wider.low <= found.low + TINY
        assert wider.high >= found.high - TINY
    seeds = seed_half_width(np.asarray(values), confidence)
    assert found.high - found.value >= seeds - TINY


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=6), st.floats(-0.3, 0.3))
def test_a_contrast_moves_with_its_values(values, shift):
    by_seed = np.asarray(values)
    one, other = (contrast_interval(v, 0.01, 0.9) for v in (by_seed, by_seed + shift))
    assert other.low == pytest.approx(one.low + shift)
    assert other.high == pytest.approx(one.high + shift)


def test_many_cases_are_judged_as_one_by_one():
    generator = np.random.default_rng(0)
    by_seed, deviation = generator.uniform(0.4, 0.6, (5, 3)), generator.uniform(0, 0.05, 5)
    found = interval(by_seed, deviation)
    for place in range(5):
        alone = interval(by_seed[place], deviation[place])
        assert (found.low[place], found.high[place]) == (alone.low, alone.high)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.48, 0.52, "equivalent"), (0.45, 0.55, "equivalent"), (0.44, 0.52, "undecided"),
        (0.48, 0.56, "undecided"), (0.3, 0.7, "undecided"), (0.56, 0.7, "different"),
        (0.3, 0.44, "different"), (0.55, 0.7, "undecided"),
    ],
)  # fmt: skip
def test_an_interval_is_inside_outside_or_neither(low, high, expected):
    value = np.asarray((low + high) / 2)
    limits = Interval(low=np.asarray(low), value=value, high=np.asarray(high))
    assert agreement(limits, 0.5, 0.05 + TINY) == expected
