"""Train a probe on frozen tokens, and apply it."""

from collections.abc import Callable

import torch
from torch import Tensor

from bat.errors import BatError
from bat.models.tokens import Tokens
from bat.optimisation import schedules
from bat.optimisation.batches import shuffled_batches
from bat.optimisation.groups import probe_groups
from bat.optimisation.losses import loss_function
from bat.probes.base import Probe

# Clips whose features are computed at a time.
_FEATURE_CLIPS = 256


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
        parts.append(probe.features(Tokens(part.cls.float(), part.patches.float())))
    return torch.cat(parts)


def train_probe(
    probe: Probe,
    features: Tensor,
    labels: Tensor,
    *,
    loss_name: str,
    steps: int,
    warmup_steps: int,
    batch_size: int,
    learning_rate: float,
    min_learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    seed: int,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> list[float]:
    """Train a probe with AdamW on the features of a frozen encoder's tokens.

    Parameters
    ----------
    probe : Probe
        Trained in place and left in evaluation mode.
    features : Tensor [B, ...]
        Features of the training clips; see ``features_of``.
    labels : Tensor [B] or [B, C] or [B, T, C]
        Classes (int64) for ``cross_entropy``, else class presence.
    loss_name : str
        See ``bat.optimisation.losses``.
    steps, warmup_steps, batch_size : int
        Length of the training and of its warm-up; clips per step.
    learning_rate, min_learning_rate : float
        Peak and floor of the schedule.
    weight_decay : float
        Not applied to gate, prototypes and one-dimensional parameters.
    betas : tuple of float
        AdamW's averaging coefficients.
    seed : int
        Seed of the order of clips and of dropout. The probe is initialised before.
    on_step : callable, optional
        Called with the step (from 0) and its loss (a detached scalar).

    Returns
    -------
    list of float
        The loss of every step, penalty included.

    Raises
    ------
    BatError
        If there is not one label per clip.
    """
    if len(labels) != len(features):
        raise BatError(f"probe training: expected {len(features)} labels, found {len(labels)}")
    loss_of = loss_function(loss_name)
    batches = shuffled_batches(len(features), steps=steps, batch_size=batch_size, seed=seed)
    optimizer = torch.optim.AdamW(
        probe_groups(probe, weight_decay=weight_decay), betas=betas, fused=True
    )
    losses = []
    probe.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for step, batch in enumerate(batches.to(features.device)):
            rate = schedules.learning_rate(
                step,
                peak=learning_rate,
                floor=min_learning_rate,
                warmup_steps=warmup_steps,
                steps=steps,
            )
            schedules.set_learning_rate(optimizer, rate)
            loss = loss_of(probe.classify(features[batch]), labels[batch]) + probe.penalty()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
            if on_step is not None:
                on_step(step, losses[-1])
    probe.eval()
    return torch.stack(losses).tolist()


@torch.no_grad()
def predict(probe: Probe, features: Tensor) -> Tensor:
    """Return the logits [B, C], or [B, T, C] of a frame-wise probe, of all clips in float32.

    The probe is put in evaluation mode; ``features`` are those of ``features_of``.
    """
    probe.eval()
    return torch.cat([probe.classify(part) for part in torch.split(features, _FEATURE_CLIPS)])
