"""Spectrograms that were computed once."""

import torch
from torch import Tensor

from bat.audio.augmentation import roll_in_time


class CachedSpectrograms:
    """Spectrograms of all clips of a task.

    Parameters
    ----------
    spectrogram : Tensor [N, 1, T, F]
        As the front end made them.
    roll : bool
        Whether training rolls every clip by a random number of frames. This stands for rolling
        the waveform; the two differ in the frames at the seam.
    """

    def __init__(self, spectrogram: Tensor, *, roll: bool = False) -> None:
        self.spectrogram, self.roll = spectrogram, roll

    def __call__(self, clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return spectrograms [B, 1, T, F] of clips [B]; a generator means training."""
        heard = self.spectrogram[clips]
        return roll_in_time(heard, generator) if self.roll and generator is not None else heard

    def frames(self, clips: Tensor) -> Tensor:
        """Return the number of frames of clips, [B]."""
        return torch.full((len(clips),), self.spectrogram.shape[2])
