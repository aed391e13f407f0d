"""How often verdicts are wrong, and that the simulation would notice if they were more often."""

from dataclasses import replace

import numpy as np
import pytest

from bat.errors import BatError
from bat.evaluation.equivalence import share_interval
from bat.paper.simulation import SCENARIOS, Scenario, limit, print_rates, simulate, worst
from paper.results import DECLARED

TRIALS = 4000
SEEDS = (3, 5, 10)
NORMAL = 1.6449


def rates(interval=share_interval, seeds=SEEDS, **options):
    return simulate(DECLARED, seeds=seeds, trials=TRIALS, interval=interval, **options)


@pytest.fixture(scope="module")
def found():
    return rates()


def test_false_passes_and_false_fails_are_no_more_than_five_per_cent(found):
    assert worst(found).false_pass <= limit(TRIALS)
    assert max(one.false_fail for one in found) <= limit(TRIALS)


def test_far_from_the_claim_nothing_passes(found):
    assert max(one.pass_at_twice for one in found) < 0.01


def test_the_cases_are_hard_enough_to_tell(found):
    """A rule that never decides has no false passes either."""
    at_margin = [one.pass_at_margin for one in found]
    assert sum(rate > 0.03 for rate in at_margin) > len(found) / 2
    assert max(one.pass_at_zero for one in found) > 0.95


def test_every_scenario_was_tried_with_every_number_of_seeds(found):
    expected = [(scenario.name, seeds) for scenario in SCENARIOS for seeds in SEEDS]
    assert [(one.scenario, one.seeds) for one in found] == expected


def test_the_same_seed_gives_the_same_rates():
    one = {"scenarios": SCENARIOS[:1], "seeds": (3,)}
    assert rates(**one) == rates(**one)
    assert rates(**one) != rates(**one, seed=1)


def normal_for_few_seeds(by_seed, deviation, **known):
    """What is wrong: the normal quantile where Student's is due."""
    seeds = by_seed.shape[-1]
    shrunk = by_seed.mean(-1, keepdims=True) + (by_seed - by_seed.mean(-1, keepdims=True)) * (
        NORMAL / {3: 2.9200, 5: 2.1318, 10: 1.8331}[seeds]
    )
    return share_interval(shrunk, deviation, **known)


def without_clips(by_seed, _, **known):
    """What is wrong: as if other clips would give the same."""
    return share_interval(by_seed, np.full(len(by_seed), 1e-4), **known)


def without_seeds(by_seed, deviation, **known):
    """What is wrong: as if other seeds would give the same."""
    return share_interval(by_seed.mean(-1, keepdims=True).repeat(2, -1), deviation, **known)


def symmetric_clips(by_seed, deviation, **known):
    """What is wrong near 100 %: limits as far above as below, none where nothing varies."""
    interval = share_interval(by_seed, np.full(len(by_seed), 1e-4), **known)
    value = by_seed.mean(-1)
    low = value - np.hypot(value - interval.low, NORMAL * deviation)
    high = value + np.hypot(interval.high - value, NORMAL * deviation)
    return replace(interval, low=low, high=high)


@pytest.mark.mutants
@pytest.mark.parametrize(
    "broken", [normal_for_few_seeds, without_clips, without_seeds, symmetric_clips]
)
def test_a_broken_interval_is_caught(broken):
    found = rates(broken, seeds=(3,))
    assert worst(found).false_pass > limit(TRIALS)
    with pytest.raises(BatError, match="false passes are more than 5 %"):
        print_rates(found)


def test_a_shared_encoder_makes_pooled_folds_too_sure():
    """Why seeds are averaged over folds first: pooling them counts shared chance five times."""

    def pooled(by_seed, deviation, **known):
        seeds = by_seed.shape[-1]
        spread = by_seed.std(-1, ddof=1, keepdims=True) / np.sqrt(seeds * 5)
        # fifteen runs with the spread of each, as independent ones would have
        runs = np.random.default_rng(0).normal(size=(len(by_seed), 15))
        runs = (runs - runs.mean(-1, keepdims=True)) / runs.std(-1, ddof=1, keepdims=True)
        runs = by_seed.mean(-1, keepdims=True) + runs * spread * np.sqrt(15)
        return share_interval(runs, deviation, **known)

    shared = [one for one in SCENARIOS if one.shared]
    assert worst(rates(pooled, seeds=(3,), scenarios=shared)).false_pass > 2 * 0.05
    assert worst(rates(seeds=(3,), scenarios=shared)).false_pass <= limit(TRIALS)


def test_one_seed_never_passes_and_never_fails():
    (found,) = rates(seeds=(1,), scenarios=SCENARIOS[:1])
    assert (found.false_pass, found.false_fail, found.undecided_at_zero) == (0, 0, 1)


def test_made_results_scatter_as_the_scenario_says():
    scenario = Scenario(
        name="x", printed=50.0, seed_deviation=0.3, clip_deviation=20.0, clips=400, folds=4
    )
    from bat.paper.simulation import _draw

    by_seed, deviation = _draw(scenario, 0.5, 2, 40_000, np.random.default_rng(0))
    means = 100 * by_seed.mean(-1)
    of_clips, of_seeds = 20 / np.sqrt(400 * 4), 0.3 / np.sqrt(4 * 2)
    assert means.mean() == pytest.approx(50, abs=0.01)
    assert means.std() == pytest.approx(np.hypot(of_clips, of_seeds), rel=0.02)
    assert 100 * deviation.mean() == pytest.approx(of_clips, rel=0.01)
    assert 100 * np.diff(by_seed).std() == pytest.approx(0.3 / np.sqrt(4) * np.sqrt(2), rel=0.02)
