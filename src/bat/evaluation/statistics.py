"""The spread of a number: over folds and seeds, and over the clips it was measured on."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from bat.evaluation.metrics import LOWER_IS_BETTER, METRICS
from bat.evaluation.predictions import Events, Floats, Predictions, Texts

__all__ = ["Events", "Predictions", "Summary", "Texts", "summarise"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One cell of the main table, as shares between 0 and 1 (error rates may exceed 1).

    ``values`` are those of the runs, ``clip_deviation`` is the standard deviation of the mean over
    bootstrap draws of the clips.
    """

    values: list[float]
    clip_deviation: float
    mean: float
    std: float
    low: float
    high: float
    clips: int
    folds: int
    seeds: int


def summarise(
    runs: list[Predictions], metric: str, *, resamples: int, confidence: float, seed: int
) -> Summary:
    """Average a metric over folds and seeds, with its spread.

    Parameters
    ----------
    runs
        One per fold and seed, each seed on the same clips.
    metric
        Name of the metric.
    resamples, confidence, seed
        Of the bootstrap: clips are drawn with replacement inside each test fold, the same draw
        for every seed and every method, and the mean over folds and seeds is taken anew. The
        interval is the basic bootstrap interval (Davison and Hinkley 1997, section 5.2).

    Returns
    -------
    Summary
        ``std`` is the standard deviation over all folds and seeds (with n - 1; 0 for one run).
    """
    values, resampled = [], []
    for run in runs:
        weights = _draws(run.fold, len(run.clips), resamples, seed)
        counts = np.concatenate([np.ones((1, len(run.clips))), weights])
        of_run = METRICS[metric](run, counts)
        values.append(of_run[0])
        resampled.append(of_run[1:])
    mean = float(np.mean(values))
    tail = (1 - confidence) / 2
    # A resample without anything to be found has no value, and says nothing about the spread.
    means = np.mean(resampled, axis=0)
    lower, upper = np.nanquantile(means, [tail, 1 - tail])
    largest = math.inf if metric in LOWER_IS_BETTER else 1.0
    return Summary(
        values=[float(value) for value in values],
        clip_deviation=float(np.nanstd(means, ddof=1)),
        mean=mean,
        std=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        # The basic interval: a resample repeats clips, which raises average precision; turning the
        # quantiles around the estimate takes that bias out instead of adding it.
        low=max(0.0, 2 * mean - float(upper)),
        high=min(largest, 2 * mean - float(lower)),
        clips=sum({run.fold: len(run.clips) for run in runs}.values()),
        folds=len({run.fold for run in runs}),
        seeds=len({run.seed for run in runs}),
    )


@cache
def _draws(fold: str, clips: int, resamples: int, seed: int) -> Floats:
    """How often each clip of a fold is drawn, [resamples, clips]."""
    generator = np.random.default_rng([seed, *fold.encode()])
    drawn = generator.integers(0, clips, size=(resamples, clips))
    flat = drawn + np.arange(resamples)[:, None] * clips
    counts = np.bincount(flat.ravel(), minlength=resamples * clips)
    return counts.reshape(resamples, clips).astype(np.float64)
