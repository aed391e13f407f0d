"""Fine-tuning: the whole encoder and a linear head, with layer-wise learning-rate decay."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bat.audio.augmentation import mask_bands, mixup, roll_batch_in_time
from bat.models.base import Encoder
from bat.optimisation.groups import layer_decay_groups
from bat.optimisation.training import Recipe, train
from bat.probes.base import Probe

# From spectrograms as the front end makes them to what the encoder takes: scaled and padded.
Preparation = Callable[[Tensor], Tensor]
# From the indices of clips, and a generator in training, to their spectrograms.
Inputs = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What fine-tuning does to spectrograms, in the order of the fields.

    Attributes
    ----------
    time_roll : bool
        Roll the whole batch by one random number of frames, before padding.
    mixup : float
        Probability of mixing clips and labels with those of the batch reversed.
    frequency_bins, frames, repeats : int
        Widest frequency and time masks, and how many of each; 0 repeats are none.
    """

    time_roll: bool = False
    mixup: float = 0.0
    frequency_bins: int = 0
    frames: int = 0
    repeats: int = 0

    def __call__(
        self, spectrogram: Tensor, labels: Tensor, prepare: Preparation, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augment spectrograms [B, 1, T, F] and their labels, and prepare them for the encoder."""
        if self.time_roll:
            spectrogram = roll_batch_in_time(spectrogram, generator)
        spectrogram = prepare(spectrogram)
        if self.mixup:
            spectrogram, labels = mixup(
                spectrogram, labels, probability=self.mixup, generator=generator
            )
        if self.repeats:
            spectrogram = mask_bands(
                spectrogram,
                frequency_bins=self.frequency_bins,
                frames=self.frames,
                repeats=self.repeats,
                generator=generator,
            )
        return spectrogram, labels


def finetune(
    encoder: Encoder,
    head: Probe,
    inputs: Inputs,
    prepare: Preparation,
    labels_of: Callable[[Tensor], Tensor],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batches: Tensor,
    recipe: Recipe,
    *,
    augmentation: Augmentation,
    layer_decay: float,
    weight_decay: float,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Train encoder and head together, in place.

    Parameters
    ----------
    encoder, head
        Left in evaluation mode.
    inputs
        Gives the spectrograms [B, 1, T, F] of clips.
    prepare
        Scales and pads them.
    labels_of
        From the indices of clips to their labels [B, ...].
    loss_of
        From logits and labels of a batch to a scalar.
    batches : Tensor [steps, batch], int64
        Clips of every step.
    recipe
        Steps, schedule and seed of augmentation, drop path and dropout.
    augmentation
        What is done to spectrograms.
    layer_decay, weight_decay : float
        See ``layer_decay_groups``.
    after_step
        Called with the number of steps taken.

    Returns
    -------
    list of float
        Loss of every step.
    """
    generator = torch.Generator().manual_seed(recipe.seed)

    def loss_of_batch(batch: Tensor) -> Tensor:
        encoder.train(), head.train()
        heard, labels = augmentation(inputs(batch, generator), labels_of(batch), prepare, generator)
        return loss_of(head(encoder(heard)), labels)

    groups = layer_decay_groups(
        [*encoder.named_parameters(), *head.named_parameters(prefix="head")],
        depth=encoder.depth,
        layer_decay=layer_decay,
        weight_decay=weight_decay,
    )
    losses = train(loss_of_batch, groups, batches, recipe, after_step=after_step)
    encoder.eval(), head.eval()
    return losses


@torch.no_grad()
def predict(
    encoder: Encoder,
    head: Probe,
    inputs: Inputs,
    prepare: Preparation,
    clips: Tensor,
    batch_size: int,
) -> list[Tensor]:
    """Return the logits of clips, one tensor each, in float32 on the CPU."""
    encoder.eval(), head.eval()
    logits: list[Tensor] = []
    for batch in torch.split(clips, batch_size):
        logits += head(encoder(prepare(inputs(batch)))).float().cpu()
    return logits
