"""What one run says about its test fold, and what is true of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bat.data.entries import Event
from bat.errors import BatError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Events:
    """Sound events of each test clip.

    Attributes
    ----------
    reference, found : list of list of Event
        One list per clip, empty where nothing is heard; times from the start of the clip.
    """

    reference: list[list[Event]]
    found: list[list[Event]]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Transcript of each test clip.

    Attributes
    ----------
    reference, found : list of str
        One per clip, in the same spelling: case counts.
    """

    reference: list[str]
    found: list[str]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one run says about its test fold.

    Attributes
    ----------
    fold, seed
        Which run.
    clips
        Ids of the test clips, in the order of the rows below.
    scores : [N, C] or [N, T, C]
        Probabilities per clip or per frame, rounded to single precision; [N, 0] for transcripts.
    present : [N, C] or [N, T, C]
        Labels.
    events
        Of frame-wise tasks.
    texts
        Of transcripts.

    Raises
    ------
    BatError
        If there is no clip, or something is not given for every clip.
    """

    fold: str
    seed: int
    clips: list[str]
    scores: Floats
    present: Booleans
    events: Events | None = None
    texts: Texts | None = None

    def __post_init__(self) -> None:
        # As stored: whatever is computed now can be computed again from the file.
        object.__setattr__(self, "scores", self.scores.astype(np.float32).astype(np.float64))
        run = f"fold {self.fold}, seed {self.seed}"
        if self.scores.shape != self.present.shape or self.scores.ndim not in (2, 3):
            raise BatError(
                f"{run}: scores {self.scores.shape} and labels {self.present.shape} do not match; "
                "expected both [clips, classes] or [clips, frames, classes]"
            )
        lengths = {"scores": len(self.scores)}
        for name, pair in (("events", self.events), ("texts", self.texts)):
            if pair is not None:
                lengths |= {f"reference {name}": len(pair.reference)}
                lengths |= {f"found {name}": len(pair.found)}
        for name, length in lengths.items():
            if length != len(self.clips) or not length:
                raise BatError(f"{run}: {len(self.clips)} clips and {length} {name} do not match")
