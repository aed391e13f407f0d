"""Train a head on what a frozen encoder offers it, and apply it."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.optimisation.groups import probe_groups
from bat.optimisation.training import Recipe, train
from bat.probes.base import Probe

# Clips whose features are computed at a time.
_FEATURE_CLIPS = 256


class Feed(Protocol):
    """What a head reads of some clips: cached features, or whatever the live encoder makes."""

    def __call__(self, clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the features [B, ...] of clips [B]; a generator means that this is training."""


class Head(Protocol):
    """A probe, or a head inside the live encoder."""

    def classify(self, features: Tensor) -> Tensor:
        """Return logits."""

    def penalty(self) -> Tensor:
        """Return the head's addition to the loss."""


@torch.no_grad()
def features_of(probe: Probe, tokens: Tokens) -> Tensor:
    """Return the probe's features of all clips, in float32.

    They come before the first trained parameter: every probe of these settings shares them.

    Parameters
    ----------
    tokens : Tokens
        Tokens of the clips, float16 (as cached) or float32.
    """
    parts = []
    for first in range(0, tokens.clips, _FEATURE_CLIPS):
        part = tokens.select(slice(first, first + _FEATURE_CLIPS))
        parts.append(probe.features(part.float()))
    return torch.cat(parts)


def train_probe(
    probe: nn.Module,
    feed: Feed,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batches: Tensor,
    recipe: Recipe,
    *,
    weight_decay: float,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Train a probe with AdamW; the encoder stays as it is.

    Parameters
    ----------
    probe : Probe or another Head
        Trained in place and left in evaluation mode.
    feed : Feed
        Gives the probe's features of clips.
    loss_of : callable
        From the logits of a batch and the indices of its clips to a scalar loss.
    batches : Tensor [steps, batch], int64
        Clips of every step.
    recipe : Recipe
        Steps, schedule and the seed of dropout. The probe is initialised before.
    weight_decay : float
        Not applied to gate, prototypes, queries and one-dimensional parameters.
    after_step : callable, optional
        Called with the number of steps taken.

    Returns
    -------
    list of float
        The loss of every step, penalty included.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    head: Any = probe

    def loss_of_batch(batch: Tensor) -> Tensor:
        probe.train()
        logits = head.classify(feed(batch, generator))
        loss: Tensor = loss_of(logits, batch) + head.penalty()
        return loss

    groups = probe_groups(probe, weight_decay=weight_decay)
    losses = train(loss_of_batch, groups, batches, recipe, after_step=after_step)
    probe.eval()
    return losses


@torch.no_grad()
def predict(probe: nn.Module, feed: Feed, clips: Tensor, batch_size: int) -> list[Tensor]:
    """Return the logits of clips, one tensor each, in float32 on the CPU.

    The probe is put in evaluation mode.
    """
    probe.eval()
    head: Any = probe
    logits: list[Tensor] = []
    for batch in torch.split(clips, batch_size):
        logits += head.classify(feed(batch)).float().cpu()
    return logits
