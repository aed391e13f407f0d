"""The training loop of probes and of fine-tuning: AdamW, warm-up, cosine decay."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bat.optimisation.schedules import learning_rate, set_learning_rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Length and schedule of a training.

    Attributes
    ----------
    steps, warmup_steps : int
        Length of the training and of its warm-up.
    learning_rate, minimum_learning_rate : float
        Peak and floor of the schedule.
    betas : tuple of float
        AdamW's averaging coefficients.
    seed : int
        Of whatever the model draws in training: dropout, drop path.
    """

    steps: int
    warmup_steps: int
    learning_rate: float
    minimum_learning_rate: float
    betas: tuple[float, float]
    seed: int

    def rate(self, step: int) -> float:
        """Return the learning rate in force at a step, from 0."""
        return learning_rate(
            step,
            peak=self.learning_rate,
            floor=self.minimum_learning_rate,
            warmup_steps=self.warmup_steps,
            steps=self.steps,
        )


def train(
    loss_of: Callable[[Tensor], Tensor],
    groups: list[dict[str, Any]],
    batches: Iterable[Tensor],
    recipe: Recipe,
    *,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Train whatever parameters the groups hold.

    Parameters
    ----------
    loss_of : callable
        From the indices of a batch's clips to a scalar loss.
    groups : list of dict
        Parameter groups; see ``bat.optimisation.groups``.
    batches : iterable of Tensor [batch], int64
        One per step.
    recipe : Recipe
    after_step : callable, optional
        Called with the number of steps taken.

    Returns
    -------
    list of float
        The loss of every step.
    """
    optimizer = torch.optim.AdamW(groups, betas=recipe.betas, fused=True)
    losses: list[Tensor] = []
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        for step, batch in enumerate(batches):
            set_learning_rate(optimizer, recipe.rate(step))
            loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
            if after_step is not None:
                after_step(step + 1)
    return torch.stack(losses).tolist()
