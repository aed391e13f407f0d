"""Metrics of clip classification.

Every metric takes weights, the number of times each clip counts, so that a bootstrap over clips is
a product with a matrix of counts instead of a loop: all functions work on many resamples at once.
Values are shares between 0 and 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bat.errors import BatError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


def average_precision(scores_N: Floats, present_N: Booleans, weights_RN: Floats) -> Floats:
    """Average precision of one class.

    The mean over the positives of (positives scored at least as high) / (all scored at least as
    high), which is scikit-learn's definition, ties included.

    Parameters
    ----------
    scores_N
        Score of each clip.
    present_N
        Whether the class is present.
    weights_RN
        How often each clip counts, in each of R resamples.

    Returns
    -------
    ndarray [R]
        NaN where a resample holds no positive.
    """
    order = np.argsort(-scores_N, kind="stable")
    scores, weights = scores_N[order], weights_RN[:, order]
    positives = np.flatnonzero(present_N[order])
    # Tied scores share the counts at the last of them.
    last_of_tie = np.searchsorted(-scores, -scores[positives], side="right") - 1
    last_positive = np.searchsorted(positives, last_of_tie, side="right") - 1
    hits = weights[:, positives]
    positives_so_far = np.cumsum(hits, axis=1)[:, last_positive]
    all_so_far = np.cumsum(weights, axis=1)[:, last_of_tie]
    precision = positives_so_far / np.maximum(all_so_far, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray((precision * hits).sum(axis=1) / hits.sum(axis=1))


def mean_average_precision(scores: Floats, present: Booleans, weights_RN: Floats) -> Floats:
    """Average precision, averaged over the classes that have a positive (macro mAP)."""
    per_class = np.stack(
        [
            average_precision(scores[:, c], present[:, c], weights_RN)
            for c in np.flatnonzero(present.any(axis=0))
        ]
    )
    return np.asarray(np.nanmean(per_class, axis=0))


def accuracy(scores: Floats, present: Booleans, weights_RN: Floats) -> Floats:
    """Share of clips whose highest score is that of their (one) class."""
    correct = present[np.arange(len(scores)), scores.argmax(axis=1)]
    return np.asarray((weights_RN * correct).sum(axis=1) / weights_RN.sum(axis=1))


def macro_f1(scores: Floats, present: Booleans, weights_RN: Floats) -> Floats:
    """F1 at a probability of 0.5, averaged over the classes that have a positive.

    ``scores`` are probabilities. A class without a positive in the test set has no F1, as it has
    no average precision; where every class has one, this is scikit-learn's macro F1.
    """
    found = scores >= 0.5
    positives = weights_RN @ present
    true_positives = weights_RN @ (found & present)
    errors = weights_RN @ (found ^ present)
    f1 = 2 * true_positives / np.maximum(2 * true_positives + errors, 1)
    return np.asarray(np.nanmean(np.where(positives > 0, f1, np.nan), axis=1))


METRICS: dict[str, Callable[[Floats, Booleans, Floats], Floats]] = {
    "accuracy": accuracy,
    "mAP": mean_average_precision,
    "F1": macro_f1,
}


def evaluate(metric: str, scores: Floats, present: Booleans) -> float:
    """Return one metric of one test set.

    Parameters
    ----------
    metric
        ``accuracy``, ``mAP`` or ``F1``.
    scores : [N, C]
        Probabilities.
    present : [N, C]
        Labels.

    Raises
    ------
    BatError
        For scores that are not finite, shapes that do not match, or clips without any label.
    """
    if scores.shape != present.shape or not len(scores):
        raise BatError(f"{metric}: scores {scores.shape} and labels {present.shape} do not match")
    if not np.isfinite(scores).all():
        raise BatError(f"{metric}: {int((~np.isfinite(scores)).sum())} scores are not finite")
    if not present.any():
        raise BatError(f"{metric}: no clip has a label")
    return float(METRICS[metric](scores, present, np.ones((1, len(scores))))[0])
