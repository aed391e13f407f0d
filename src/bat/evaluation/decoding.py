"""From frame-wise scores to what is reported: sound events and transcripts."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bat.data.entries import Event
from bat.errors import BatError

# What a transcript is written with; the first is the blank of connectionist temporal
# classification (Graves et al. 2006), which stands for no character.
CHARACTERS = ("<blank>", " ", "'", *"abcdefghijklmnopqrstuvwxyz")
_INDICES = {character: index for index, character in enumerate(CHARACTERS)}
_BLANK = 0


def decode_events(
    probabilities_TC: NDArray[np.floating],
    *,
    frame_s: float,
    threshold: float,
    median_filter: int,
    classes: Sequence[str],
) -> list[Event]:
    """Turn the probabilities of each frame into sound events.

    A class is active where its probability, median filtered in time, is above the threshold; each
    run of active frames is an event, from the time of the first to the time of the last. The first
    and the last frame are followed by their mirror image, so that the filter has neighbours there.

    Parameters
    ----------
    probabilities_TC
        Probability of each class in each frame.
    frame_s
        Distance of frames: frame i is at ``i * frame_s`` seconds.
    threshold
        A probability above it is an activity.
    median_filter
        Length of the filter in frames, odd; 1 filters nothing.
    classes
        Their C names.

    Returns
    -------
    list of Event
        By onset, those of one onset in the order of ``classes``.

    Raises
    ------
    BatError
        If shapes do not match, a probability is not finite, or the filter has no middle.
    """
    if probabilities_TC.ndim != 2 or probabilities_TC.shape[1] != len(classes):
        raise BatError(
            f"events: expected probabilities [frames, {len(classes)}], "
            f"found {probabilities_TC.shape}"
        )
    if not np.isfinite(probabilities_TC).all():
        raise BatError("events: some probabilities are not finite")
    if median_filter < 1 or median_filter % 2 == 0:
        raise BatError(f"events: expected an odd length of the median filter, {median_filter=}")
    if not len(probabilities_TC):
        return []
    active_TC = _median_filtered(probabilities_TC, median_filter) > threshold
    events = [
        Event(label=label, onset_s=first * frame_s, offset_s=last * frame_s)
        for label, active_T in zip(classes, active_TC.T, strict=True)
        for first, last in _runs(active_T)
    ]
    return sorted(events, key=lambda event: event.onset_s)


def _median_filtered(values_TC: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    padded = np.pad(values_TC, ((length // 2, length // 2), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)
    return np.asarray(np.median(windows, axis=-1))


def _runs(active_T: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last frame of each run of active frames."""
    steps = np.diff(active_T.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return zip(starts.tolist(), (ends - 1).tolist(), strict=True)


def ctc_text(logits_TV: NDArray[np.floating], vocabulary: Sequence[str] = CHARACTERS) -> str:
    """Read a text from the logits of each frame, taking the best symbol of each.

    Parameters
    ----------
    logits_TV
        Logits, or anything that ranks alike, of each symbol in each frame.
    vocabulary
        The V symbols, the blank first.

    Raises
    ------
    BatError
        If the shape does not match, or a logit is not finite.
    """
    if logits_TV.ndim != 2 or logits_TV.shape[1] != len(vocabulary):
        raise BatError(
            f"text: expected logits [frames, {len(vocabulary)}], found {logits_TV.shape}"
        )
    if not np.isfinite(logits_TV).all():
        raise BatError("text: some logits are not finite")
    return ctc_collapse(logits_TV.argmax(axis=1), vocabulary)


def ctc_collapse(indices_T: NDArray[np.integer], vocabulary: Sequence[str] = CHARACTERS) -> str:
    """Join the symbols of frames to a text: repeats count once, then blanks go.

    Parameters
    ----------
    indices_T
        Symbol of each frame, from 0 to V - 1.
    vocabulary
        The V symbols, the blank first.

    Examples
    --------
    >>> ctc_collapse(np.array([3, 3, 0, 3, 4, 0]))
    'aab'
    """
    is_new = np.diff(indices_T, prepend=_BLANK) != 0
    kept = indices_T[is_new & (indices_T != _BLANK)]
    return "".join(vocabulary[index] for index in kept)


def normalise_text(text: str) -> str:
    """Spell a transcript as :data:`CHARACTERS` do: lower case, one space between words.

    Raises
    ------
    BatError
        If it holds other characters, naming them.
    """
    spelt = " ".join(text.lower().split())
    if strange := sorted(set(spelt) - _INDICES.keys()):
        raise BatError(f"text {text!r}: expected letters, apostrophes and spaces, found {strange}")
    return spelt


def encode_text(text: str) -> list[int]:
    """Index of each character of a transcript in :data:`CHARACTERS`, to train on.

    Raises
    ------
    BatError
        If it holds characters that are not there, naming them.
    """
    return [_INDICES[character] for character in normalise_text(text)]
