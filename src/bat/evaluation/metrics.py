"""Metrics of clips, of frames, of events and of transcripts.

Every metric takes weights, the number of times each clip counts, so that a bootstrap over clips is
a product with a matrix of counts instead of a loop: all functions work on many resamples at once.
Values are shares between 0 and 1; error rates may exceed 1, and lower is better.
"""

import warnings
from collections.abc import Callable

import jiwer
import numpy as np

from bat.data.entries import Event
from bat.errors import BatError
from bat.evaluation.predictions import Booleans, Floats, Predictions

LOWER_IS_BETTER = frozenset({"WER", "CER"})
# An event is found if its onset is not further off than this, as in the DCASE 2016 challenge.
ONSET_COLLAR_S = 0.2


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


def mean_average_precision(predictions: Predictions, weights_RN: Floats) -> Floats:
    """Average precision, averaged over the classes that have a positive (macro mAP)."""
    scores, present = _scores("mAP", predictions, "clips", "classes")
    per_class = np.stack(
        [
            average_precision(scores[:, c], present[:, c], weights_RN)
            for c in np.flatnonzero(present.any(axis=0))
        ]
    )
    return np.asarray(np.nanmean(per_class, axis=0))


def accuracy(predictions: Predictions, weights_RN: Floats) -> Floats:
    """Share of clips whose highest score is that of their (one) class."""
    scores, present = _scores("accuracy", predictions, "clips", "classes")
    correct = present[np.arange(len(scores)), scores.argmax(axis=1)]
    return np.asarray((weights_RN * correct).sum(axis=1) / weights_RN.sum(axis=1))


def macro_f1(predictions: Predictions, weights_RN: Floats) -> Floats:
    """F1 at a probability of 0.5, averaged over the classes that have a positive.

    A class without a positive in the test set has no F1, as it has no average precision; where
    every class has one, this is scikit-learn's macro F1.
    """
    scores, present = _scores("F1", predictions, "clips", "classes")
    found = scores >= 0.5
    positives = weights_RN @ present
    true_positives = weights_RN @ (found & present)
    errors = weights_RN @ (found ^ present)
    f1 = 2 * true_positives / np.maximum(2 * true_positives + errors, 1)
    return np.asarray(np.nanmean(np.where(positives > 0, f1, np.nan), axis=1))


def frame_average_precision(predictions: Predictions, weights_RN: Floats) -> Floats:
    """Average precision over all frames and classes at once (micro mAP).

    As :func:`average_precision`, where a weight counts all frames and classes of a clip together.
    """
    scores_NTC, present_NTC = _scores("frame_mAP", predictions, "clips", "frames", "classes")
    # Negated and sorted, searchsorted counts what in a clip scores at least as high.
    everything = [np.sort(-scores.ravel()) for scores in scores_NTC]
    positives = [
        np.sort(-scores[present]) for scores, present in zip(scores_NTC, present_NTC, strict=True)
    ]
    precisions = np.zeros(len(weights_RN))
    for clip, thresholds_P in enumerate(positives):
        positives_NP = np.stack([np.searchsorted(of, thresholds_P, "right") for of in positives])
        all_NP = np.stack([np.searchsorted(of, thresholds_P, "right") for of in everything])
        precision_RP = (weights_RN @ positives_NP) / np.maximum(weights_RN @ all_NP, 1)
        precisions += weights_RN[:, clip] * precision_RP.sum(axis=1)
    return _ratio(precisions, weights_RN @ [len(of_clip) for of_clip in positives])


def onset_f1(predictions: Predictions, weights_RN: Floats) -> Floats:
    """F1 of events, matched by class and onset within 200 ms, over all clips and classes (micro).

    The event-based F-measure of Mesaros, Heittola and Virtanen (2016), counted by sed_eval clip by
    clip; offsets do not count. Where nothing at all is found it is 0.
    """
    events = predictions.events
    if events is None:
        raise BatError("onset_F1: the predictions hold no events")
    if not any(events.reference):
        raise BatError("onset_F1: no clip has an event")
    pairs = list(zip(events.reference, events.found, strict=True))
    matched_N = [_matched_onsets(reference, found) for reference, found in pairs]
    events_N = [len(reference) + len(found) for reference, found in pairs]
    return _ratio(2 * (weights_RN @ matched_N), weights_RN @ events_N)


def _matched_onsets(reference: list[Event], found: list[Event]) -> int:
    """Count the pairs of a best matching between the events of one clip."""
    # Imported here: it takes half a second, which only this metric should wait for.
    with warnings.catch_warnings():
        # dcase_util, which sed_eval imports, uses pkg_resources; that is not the user's affair.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        import sed_eval
    matching = sed_eval.sound_event.EventBasedMetrics(
        sorted({event.label for event in (*reference, *found)}),
        t_collar=ONSET_COLLAR_S,
        evaluate_onset=True,
        evaluate_offset=False,
    )
    matching.evaluate(_for_sed_eval(reference), _for_sed_eval(found))
    return int(matching.overall["Ntp"])


def _for_sed_eval(events: list[Event]) -> list[dict[str, str | float]]:
    return [
        {"event_label": event.label, "event_onset": event.onset_s, "event_offset": event.offset_s}
        for event in events
    ]


def word_error_rate(predictions: Predictions, weights_RN: Floats) -> Floats:
    """Substituted, deleted and inserted words per word of the references, over all clips."""
    return _error_rate("WER", predictions, weights_RN, jiwer.process_words)


def character_error_rate(predictions: Predictions, weights_RN: Floats) -> Floats:
    """Substituted, deleted and inserted characters per character of the references.

    Over all clips; spaces between words are characters.
    """
    return _error_rate("CER", predictions, weights_RN, jiwer.process_characters)


def _error_rate(
    metric: str,
    predictions: Predictions,
    weights_RN: Floats,
    align: Callable[[str, str], jiwer.WordOutput | jiwer.CharacterOutput],
) -> Floats:
    texts = predictions.texts
    if texts is None:
        raise BatError(f"{metric}: the predictions hold no texts")
    if not any(text.strip() for text in texts.reference):
        raise BatError(f"{metric}: every reference text is empty")
    aligned = [align(*pair) for pair in zip(texts.reference, texts.found, strict=True)]
    errors = [one.substitutions + one.deletions + one.insertions for one in aligned]
    length = [one.hits + one.substitutions + one.deletions for one in aligned]
    return _ratio(weights_RN @ errors, weights_RN @ length)


def _scores(metric: str, predictions: Predictions, *axes: str) -> tuple[Floats, Booleans]:
    """Return scores and labels, if there is anything to evaluate."""
    scores, present = predictions.scores, predictions.present
    if scores.ndim != len(axes):
        raise BatError(f"{metric}: expected scores [{', '.join(axes)}], found {scores.shape}")
    if not np.isfinite(scores).all():
        raise BatError(f"{metric}: {int((~np.isfinite(scores)).sum())} scores are not finite")
    if not present.any():
        raise BatError(f"{metric}: no clip has a label")
    return scores, present


def _ratio(numerator_R: Floats, denominator_R: Floats) -> Floats:
    """Divide; NaN where a resample holds nothing to divide by."""
    undefined = np.full(len(denominator_R), np.nan)
    return np.asarray(np.divide(numerator_R, denominator_R, out=undefined, where=denominator_R > 0))


METRICS: dict[str, Callable[[Predictions, Floats], Floats]] = {
    "accuracy": accuracy,
    "mAP": mean_average_precision,
    "F1": macro_f1,
    "frame_mAP": frame_average_precision,
    "onset_F1": onset_f1,
    "WER": word_error_rate,
    "CER": character_error_rate,
}


def evaluate(metric: str, predictions: Predictions) -> float:
    """Return one metric of one run.

    Parameters
    ----------
    metric
        One of ``METRICS``.
    predictions
        Of all clips of the test fold, each of which counts once.

    Raises
    ------
    BatError
        For scores that are not finite or of the wrong kind (per clip, per frame), clips without
        any label, and where the events or texts that the metric compares are missing.
    """
    return float(METRICS[metric](predictions, np.ones((1, len(predictions.clips))))[0])
