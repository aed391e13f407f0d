"""How far a number may be from what it stands for, and whether it agrees with another.

The interval of a number joins two independent sources of chance: seeds and test clips. Each gives
limits of its own, and the limits are joined by the method of variance estimates recovery (Zou and
Donner 2008): their distances to the estimate are added in quadrature. That keeps the interval of
two or three seeds as wide as Student's t makes it, where one pooled variance with Satterthwaite's
degrees of freedom is too narrow (docs/audit.md has the figures).

All functions are vectorised: leading axes are independent cases, e.g. trials of a simulation.
Values are shares, between 0 and 1 but for error rates.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

Floats = NDArray[np.float64]
EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "different", "undecided"

# The inverse of the beta function needs ever longer above; limits are then 0.003 points apart.
_MOST_TRIALS = 1e9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate between its limits, arrays of one shape.

    The limits are infinite where nothing is known of the spread.
    """

    low: Floats
    value: Floats
    high: Floats


def share_interval(
    by_seed: Floats, clip_deviation: Floats, *, clips: int, folds: int, confidence: float
) -> Interval:
    """Return the interval of a mean share from its seeds and its clips.

    Parameters
    ----------
    by_seed : [..., S]
        Each seed's mean over the folds. Folds are fixed, those of the claim too, so that only
        seeds vary; heads of one seed in different folds may share initial values and an encoder,
        and a mean for each seed is right whatever they share.
    clip_deviation : [...]
        Standard deviation of the mean over all seeds, from a bootstrap over the clips of each fold.
    clips, folds : int
        Test clips of all folds, and how many folds they are in.
    confidence : float
        Of the two-sided interval.
    """
    value = np.asarray(np.mean(by_seed, axis=-1))
    below, above = _clip_limits(value, clip_deviation, clips, folds, confidence)
    return _joined(value, seed_half_width(by_seed, confidence), value - below, above - value)


def contrast_interval(by_seed: Floats, clip_deviation: float, confidence: float) -> Interval:
    """Return the interval of a mean difference or another contrast of shares.

    Parameters
    ----------
    by_seed : [..., S]
        Each seed's contrast, its mean over the folds.
    clip_deviation : float
        Standard deviation of the contrast over draws of the clips.
    """
    value = np.asarray(np.mean(by_seed, axis=-1))
    half = np.full_like(value, _normal_quantile(confidence) * clip_deviation)
    return _joined(value, seed_half_width(by_seed, confidence), half, half)


def _joined(value: Floats, of_seeds: Floats, below: Floats, above: Floats) -> Interval:
    low, high = value - np.hypot(of_seeds, below), value + np.hypot(of_seeds, above)
    return Interval(low=low, value=value, high=high)


def seed_half_width(by_seed: Floats, confidence: float) -> Floats:
    """Half of Student's interval of the mean over seeds; infinite for one seed."""
    seeds = by_seed.shape[-1]
    if seeds < 2:
        return np.full(by_seed.shape[:-1], np.inf)
    quantile = stdtrit(seeds - 1, (1 + confidence) / 2)
    return np.asarray(quantile * by_seed.std(axis=-1, ddof=1) / np.sqrt(seeds))


def _clip_limits(
    value: Floats, deviation: Floats, clips: int, folds: int, confidence: float
) -> tuple[Floats, Floats]:
    """Return the limits of a share from its deviation over draws of clips.

    Clopper and Pearson's limits for as many clips as would give this deviation if each were right
    or wrong (Korn and Graubard 1998). Near 0 and 1 symmetric limits are far too narrow, and most
    results of the paper are near 1; a perfect result on 24 clips has a lower limit of 88 %. Where
    nothing varies the number of clips is the real one. Error rates above 1 have symmetric limits.
    """
    free = clips - folds
    if free < 1:
        return np.full_like(value, -np.inf), np.full_like(value, np.inf)
    normal, student = _normal_quantile(confidence), stdtrit(free, (1 + confidence) / 2)
    widened = deviation * (student / normal) * np.sqrt(clips / free)
    shares = np.clip(value, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        trials = np.where(deviation == 0, clips, shares * (1 - shares) / widened**2)
    trials = np.minimum(trials, _MOST_TRIALS)
    hits, tail = shares * trials, (1 - confidence) / 2
    low, high = _beta(tail, hits, trials - hits + 1), _beta(1 - tail, hits + 1, trials - hits)
    no_share = (value >= 1) & (deviation > 0)
    half = normal * widened
    return (
        np.where(no_share, value - half, np.where(value <= 0, 0.0, low)),
        np.where(no_share, value + half, np.where(value >= 1, 1.0, high)),
    )


def _beta(probability: float, a: Floats, b: Floats) -> Any:
    with np.errstate(invalid="ignore"):
        return betaincinv(a, b, probability)


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def agreement(interval: Interval, target: float, margin: float) -> NDArray[np.str_]:
    """Compare an interval with a target by two one-sided tests (Schuirmann 1987).

    Returns
    -------
    array of str
        ``equivalent`` where the interval lies within ``target`` ± ``margin``, ``different`` where
        it lies wholly outside, else ``undecided``.
    """
    inside = (interval.low >= target - margin) & (interval.high <= target + margin)
    outside = (interval.high < target - margin) | (interval.low > target + margin)
    return np.select([inside, outside], [EQUIVALENT, DIFFERENT], UNDECIDED)
