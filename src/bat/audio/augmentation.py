"""Augmentation of spectrograms during training."""

import torch
from torch import Tensor


def roll_in_time(spectrogram: Tensor, generator: torch.Generator) -> Tensor:
    """Roll every clip by its own random number of frames, circularly.

    On cached spectrograms this stands for the paper's roll of the waveform: both move the content
    in time; they differ only in the frames at the seam.

    Parameters
    ----------
    spectrogram : Tensor [B, 1, T, F]
        Before padding.
    """
    clips, _, frames, _ = spectrogram.shape
    offsets = torch.randint(frames, (clips, 1), generator=generator)
    index = (torch.arange(frames) + offsets) % frames
    return spectrogram.gather(2, index[:, None, :, None].expand_as(spectrogram))
