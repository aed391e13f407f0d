"""What every run shares: its order of clips, its schedule, and which state of it is tested."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bat.data.clips import Clips
from bat.evaluation.metrics import LOWER_IS_BETTER, evaluate
from bat.evaluation.predictions import Predictions
from bat.optimisation.batches import (
    inverse_frequency_of_first_label,
    mean_inverse_class_frequency,
    shuffled_batches,
    weighted_batches,
)
from bat.optimisation.training import Recipe
from bat.params.data import BestValidation, InverseClassFrequency, InverseFirstLabel
from bat.params.models import Optimisation
from bat.settings import Training
from bat.stages.targets import Indices


def recipe_of(optimisation: Optimisation, seed: int) -> Recipe:
    """Return length and schedule of a training."""
    return Recipe(
        steps=optimisation.steps,
        warmup_steps=optimisation.warmup_steps,
        learning_rate=optimisation.learning_rate,
        minimum_learning_rate=optimisation.minimum_learning_rate,
        betas=(optimisation.betas[0], optimisation.betas[1]),
        seed=seed,
    )


def batches_of(
    clips: Clips, train: Indices, training: Training, optimisation: Optimisation, seed: int
) -> Tensor:
    """Draw the clips of every step, [steps, batch], as indices into the manifest."""
    size = {"steps": optimisation.steps, "batch_size": optimisation.batch_size, "seed": seed}
    places = torch.from_numpy(train)
    sampling = training.sampling
    if isinstance(sampling, InverseFirstLabel):
        weights = inverse_frequency_of_first_label(clips.present[train])
        drawn = weighted_batches(weights, replacement=True, clips_per_epoch=None, **size)
    elif isinstance(sampling, InverseClassFrequency):
        weights = mean_inverse_class_frequency(clips.present[train])
        epoch = min(sampling.clips_per_epoch, len(train))
        drawn = weighted_batches(weights, replacement=False, clips_per_epoch=epoch, **size)
    else:
        drawn = shuffled_batches(len(train), **size)
    return places[drawn]


def score(predictions: Predictions, metric: str) -> float:
    """Return a metric of some clips, larger is better."""
    found = evaluate(metric, predictions)
    return -found if metric in LOWER_IS_BETTER else found


class Selected:
    """Keeps the state that is to be tested: the last, or the best on the validation clips.

    Parameters
    ----------
    modules
        What is trained.
    training
        How the state is selected.
    score
        Returns the validation metric, larger is better; not called for the last state.
    """

    def __init__(
        self, modules: list[nn.Module], training: Training, score: Callable[[], float]
    ) -> None:
        selection = training.selection
        self.every = selection.every if isinstance(selection, BestValidation) else None
        self.modules, self.score = modules, score
        self.best = float("-inf")
        self.step: int | None = None
        self._state: list[Tensor] = []

    def after_step(self, step: int) -> None:
        """Measure from time to time and remember the best state."""
        if self.every is None or step % self.every:
            return
        found = self.score()
        if found > self.best:
            self.best, self.step = found, step
            self._state = [parameter.detach().clone() for parameter in self._parameters()]

    def restore(self) -> None:
        """Bring the best state back, where there is one."""
        for parameter, value in zip(self._parameters(), self._state, strict=bool(self._state)):
            parameter.data.copy_(value)

    def _parameters(self) -> list[nn.Parameter]:
        return [p for module in self.modules for p in module.parameters() if p.requires_grad]
