"""The order in which clips are trained on."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bat.errors import BatError


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


def weighted_batches(
    weights: Tensor,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    replacement: bool,
    clips_per_epoch: int | None = None,
) -> Tensor:
    """Return clip indices [steps, batch] drawn in proportion to the clips' weights.

    Parameters
    ----------
    weights : Tensor [N]
        Not negative; a clip of weight 0 is never drawn. Their scale is of no account.
    steps, batch_size : int
    seed : int
    replacement : bool
        With it, every place in every batch is an independent draw. Without it, an epoch is a
        sequence of draws from the clips that it has not had yet, and batches are cut from the
        sequence of epochs as in ``shuffled_batches``.
    clips_per_epoch : int, optional
        Draws after which all clips are available again (200,000 on AudioSet-2M); only without
        replacement. By default every clip of positive weight is drawn once an epoch.

    Returns
    -------
    Tensor [steps, batch], int64
        Without replacement a batch never holds more clips than an epoch.

    Raises
    ------
    BatError
        If the weights are not [N], finite, not negative and somewhere positive; or if an epoch
        has more clips than may be drawn, or is given a length although clips are replaced.
    """
    weights = _checked(weights)
    generator = torch.Generator().manual_seed(seed)
    if replacement:
        if clips_per_epoch is not None:
            raise BatError(
                "weighted batches: expected no clips per epoch with replacement, "
                f"found {clips_per_epoch}"
            )
        drawn = torch.multinomial(
            weights, steps * batch_size, replacement=True, generator=generator
        )
        return drawn.view(steps, batch_size)
    drawable = int((weights > 0).sum())
    epoch = drawable if clips_per_epoch is None else clips_per_epoch
    if not 0 < epoch <= drawable:
        raise BatError(
            f"weighted batches: expected 1 to {drawable} clips per epoch (clips of positive "
            f"weight), found {epoch}"
        )
    batch_size = min(batch_size, epoch)
    epochs = [
        torch.multinomial(weights, epoch, replacement=False, generator=generator)
        for _ in range(math.ceil(steps * batch_size / epoch))
    ]
    return torch.cat(epochs)[: steps * batch_size].view(steps, batch_size)


def inverse_frequency_of_first_label(present: Tensor | NDArray[np.bool_]) -> Tensor:
    """Weight clips so that every class is drawn equally often as a first label (HSN).

    A clip's first label is the first class it has, in the order of the classes; its weight is one
    over the number of clips with the same first label.

    Parameters
    ----------
    present : Tensor or array of bool [N, C]
        Which classes each clip has.

    Returns
    -------
    Tensor [N], float64
        0 for a clip without labels: there is no class to weight it by.

    Raises
    ------
    BatError
        If `present` is not boolean [N, C].
    """
    present = _presence(present)
    labelled = present.any(dim=1)
    first = present.byte().argmax(dim=1)  # of equal values, the first
    clips_per_class = torch.bincount(first[labelled], minlength=present.shape[1]).double()
    return torch.where(labelled, 1.0 / clips_per_class[first], 0.0)


def mean_inverse_class_frequency(present: Tensor | NDArray[np.bool_]) -> Tensor:
    """Weight clips by the mean, over their labels, of one over the class's clips (AudioSet-2M).

    Parameters
    ----------
    present : Tensor or array of bool [N, C]
        Which classes each clip has.

    Returns
    -------
    Tensor [N], float64
        0 for a clip without labels: there is no class to weight it by.

    Raises
    ------
    BatError
        If `present` is not boolean [N, C].
    """
    clip, label = _presence(present).nonzero(as_tuple=True)
    rarity = 1.0 / torch.bincount(label).double()
    total = torch.bincount(clip, weights=rarity[label], minlength=len(present))
    return total / torch.bincount(clip, minlength=len(present)).clamp_min(1)


def _checked(weights: Tensor) -> Tensor:
    # Float64, because in float32 the draws of rare clips among millions are uneven.
    weights = weights.double()
    usable = weights.isfinite() & (weights >= 0)
    if weights.ndim != 1 or not usable.all():
        raise BatError(
            "weighted batches: expected weights [N], finite and at least 0, "
            f"found shape {list(weights.shape)}, {int((~usable).sum())} not so"
        )
    if not (weights > 0).any():
        raise BatError(
            f"weighted batches: expected a positive weight, found none among {len(weights)}"
        )
    return weights


def _presence(present: Tensor | NDArray[np.bool_]) -> Tensor:
    present = torch.as_tensor(present)
    if present.ndim != 2 or present.dtype != torch.bool:
        raise BatError(
            f"clip weights: expected presence [N, C] of torch.bool, "
            f"found {present.dtype} of shape {list(present.shape)}"
        )
    return present
