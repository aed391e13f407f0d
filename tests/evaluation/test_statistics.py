"""Means are over folds and seeds; intervals are over clips and hold what they promise."""

from dataclasses import replace

import numpy as np
import pytest

from bat.data.entries import Event
from bat.evaluation.metrics import METRICS, evaluate
from bat.evaluation.statistics import Events, Predictions, Texts, summarise

CLASSES = 4


def predictions(fold="a", seed=0, clips=60, share=0.7, generator=None):
    """A run that is right about each clip with probability ``share``."""
    generator = generator or np.random.default_rng([ord(fold[0]), seed])
    truth = generator.integers(0, CLASSES, clips)
    right = generator.random(clips) < share
    guess = np.where(right, truth, (truth + 1) % CLASSES)
    scores = np.eye(CLASSES)[guess] * 0.5 + generator.random((clips, CLASSES)) * 0.1
    return Predictions(
        fold=fold,
        seed=seed,
        clips=[f"{fold}-{index}" for index in range(clips)],
        scores=scores,
        present=np.eye(CLASSES, dtype=bool)[truth],
    )


def transcribed(fold="a", seed=0, clips=40, inserted=0):
    """A run that gets about half of the words wrong, and adds ``inserted`` words to each clip."""
    generator = np.random.default_rng([ord(fold[0]), seed, 1])
    wrong = generator.random((clips, 6)) < 0.5
    found = [" ".join(np.where(row, "no", "yes").tolist() + ["more"] * inserted) for row in wrong]
    empty = np.zeros((clips, 0))
    return Predictions(
        fold=fold,
        seed=seed,
        clips=[f"{fold}-{index}" for index in range(clips)],
        scores=empty,
        present=empty > 0,
        texts=Texts(reference=["yes yes yes yes yes yes"] * clips, found=found),
    )


def frame_wise(fold="a", seed=0, clips=20):
    """A run over short clips, in each of which one of two events is found or not."""
    generator = np.random.default_rng([ord(fold[0]), seed, 2])
    present = generator.random((clips, 5, 2)) < 0.4
    reference = [[Event(label="x", onset_s=float(i), offset_s=i + 1.0)] for i in range(clips)]
    found = [events if generator.random() < 0.6 else [] for events in reference]
    return Predictions(
        fold=fold,
        seed=seed,
        clips=[f"{fold}-{index}" for index in range(clips)],
        scores=0.5 * generator.random(present.shape) + 0.3 * present,
        present=present,
        events=Events(reference=reference, found=found),
    )


KINDS = {
    "accuracy": predictions, "mAP": predictions, "F1": predictions,
    "frame_mAP": frame_wise, "onset_F1": frame_wise,
    "WER": transcribed, "CER": transcribed,
}  # fmt: skip


def summary(runs, metric="accuracy", resamples=200, confidence=0.95, seed=0):
    return summarise(runs, metric, resamples=resamples, confidence=confidence, seed=seed)


def runs_of(folds="abc", seeds=(0, 1), **options):
    return [predictions(fold, seed, **options) for fold in folds for seed in seeds]


@pytest.mark.parametrize("metric", METRICS)
def test_the_mean_and_the_deviation_are_over_folds_and_seeds(metric):
    runs = [KINDS[metric](fold, seed) for fold in "abc" for seed in (0, 1)]
    values = [evaluate(metric, run) for run in runs]
    found = summary(runs, metric)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert (found.folds, found.seeds) == (3, 2)
    assert 0 <= found.low < found.mean < found.high


def test_clips_are_counted_once_and_not_per_seed():
    assert summary(runs_of(folds="ab", seeds=(0, 1, 2), clips=50)).clips == 100
    unequal = [predictions("a", clips=10), predictions("b", clips=30)]
    assert summary(unequal).clips == 40


def test_a_small_fold_counts_as_much_as_a_large_one():
    runs = [predictions("a", clips=10, share=1.0), predictions("b", clips=90, share=0.0)]
    assert summary(runs).mean == pytest.approx(0.5)


def test_one_run_has_no_deviation_but_an_interval():
    found = summary([predictions()])
    assert found.std == 0
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("metric", ["accuracy", "mAP", "F1"])
def test_the_order_of_runs_does_not_count(metric):
    runs = runs_of()
    one, other = summary(runs, metric), summary(runs[::-1], metric)
    for key in ("mean", "std", "low", "high"):
        assert getattr(one, key) == pytest.approx(getattr(other, key), abs=1e-12)
    assert (one.clips, one.folds, one.seeds) == (other.clips, other.folds, other.seeds)


def test_the_names_of_clips_do_not_count():
    runs = runs_of()
    renamed = [
        Predictions(
            fold=run.fold, seed=run.seed, clips=[f"x{clip}" for clip in run.clips],
            scores=run.scores, present=run.present,
        )
        for run in runs
    ]  # fmt: skip
    assert summary(renamed) == summary(runs)


def test_the_order_of_clips_moves_the_interval_by_no_more_than_chance():
    generator = np.random.default_rng(0)
    runs = runs_of(seeds=(0,), clips=100)
    shuffled = []
    for run in runs:
        order = generator.permutation(len(run.clips))
        shuffled.append(
            Predictions(
                fold=run.fold, seed=run.seed, clips=[run.clips[i] for i in order],
                scores=run.scores[order], present=run.present[order],
            )
        )  # fmt: skip
    one, other = summary(runs, resamples=2000), summary(shuffled, resamples=2000)
    assert one.mean == pytest.approx(other.mean)
    assert one.low == pytest.approx(other.low, abs=0.01)
    assert one.high == pytest.approx(other.high, abs=0.01)


def test_a_summary_is_repeatable_and_follows_its_seed():
    runs = runs_of()
    assert summary(runs, seed=3) == summary(runs, seed=3)
    assert summary(runs, seed=3).low != summary(runs, seed=4).low


@pytest.mark.parametrize("metric", ["accuracy", "mAP", "F1"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_interval_holds_the_mean(metric, share):
    found = summary(runs_of(clips=150, share=share), metric)
    assert 0 <= found.low <= found.mean <= found.high <= 1


def test_more_confidence_widens_the_interval_and_more_clips_narrow_it():
    runs = runs_of(clips=50)
    sure, unsure = summary(runs, confidence=0.99), summary(runs, confidence=0.5)
    assert sure.high - sure.low > unsure.high - unsure.low
    many, few = summary(runs_of(clips=400)), summary(runs_of(clips=25))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_seeds_share_their_draws_so_that_more_seeds_do_not_feign_more_clips():
    once = predictions("a", 0, clips=100)
    again = [
        Predictions(fold="a", seed=seed, clips=once.clips, scores=once.scores, present=once.present)
        for seed in range(5)
    ]
    one, five = summary([once]), summary(again)
    assert (one.low, one.high) == pytest.approx((five.low, five.high))


def test_perfect_and_hopeless_runs_stay_between_0_and_1():
    assert summary(runs_of(share=1.0)).high == 1
    assert summary(runs_of(share=0.0)).low == 0


def test_the_interval_of_an_error_rate_may_lie_above_1():
    found = summary([transcribed(seed=seed, inserted=5) for seed in (0, 1)], "WER")
    assert 1 < found.low < found.mean < found.high
    assert found.mean == pytest.approx(0.5 + 5 / 6, abs=0.05)


@pytest.mark.parametrize("metric", ["WER", "CER"])
def test_the_interval_of_an_error_rate_does_not_go_below_0(metric):
    once = transcribed(clips=5)
    perfect = [*once.texts.reference[:-1], "no yes yes yes yes yes"]
    run = replace(once, texts=Texts(reference=once.texts.reference, found=perfect))
    found = summary([run], metric)
    assert found.low == 0 < found.mean < found.high < 1


def test_a_resample_in_which_there_is_nothing_to_find_is_left_out():
    once = frame_wise(clips=4)
    event = Event(label="x", onset_s=1.0, offset_s=2.0)
    events = Events(reference=[[event], [], [], []], found=[[event], [], [], []])
    found = summary([replace(once, events=events)], "onset_F1")
    assert (found.low, found.mean, found.high) == (1, 1, 1)


@pytest.mark.parametrize("accuracy", [0.5, 0.8])
def test_a_95_percent_interval_holds_the_truth_about_95_times_in_100(accuracy):
    trials, held = 200, 0
    for trial in range(trials):
        generator = np.random.default_rng([trial, 17])
        runs = [predictions(fold, clips=60, share=accuracy, generator=generator) for fold in "abc"]
        found = summary(runs, resamples=300, seed=trial)
        held += found.low <= accuracy <= found.high
    assert 0.88 <= held / trials <= 0.995
