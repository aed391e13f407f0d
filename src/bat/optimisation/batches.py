"""The order in which clips are trained on."""

import math

import torch
from torch import Tensor


def shuffled_batches(clips: int, *, steps: int, batch_size: int, seed: int) -> Tensor:
    """Return clip indices [steps, batch]: epochs of shuffled clips, one after the other.

    Within an epoch no clip repeats. Batches are cut from the sequence of epochs, so that all are
    full; a batch never holds more clips than there are.
    """
    batch_size = min(batch_size, clips)
    generator = torch.Generator().manual_seed(seed)
    epochs = math.ceil(steps * batch_size / clips)
    order = torch.cat([torch.randperm(clips, generator=generator) for _ in range(epochs)])
    return order[: steps * batch_size].view(steps, batch_size)
