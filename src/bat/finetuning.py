"""Fine-tuning: the whole encoder and a linear head, with layer-wise learning-rate decay."""

from typing import Any

import torch
from torch import Tensor

from bat.audio.augmentation import roll_in_time
from bat.models.checkpoint import InputScaling
from bat.models.encoder import AudioTransformer
from bat.optimisation.batches import shuffled_batches
from bat.optimisation.groups import layer_decay_groups
from bat.optimisation.losses import loss_function
from bat.optimisation.schedules import learning_rate, set_learning_rate
from bat.probes.base import Probe


def finetune(
    encoder: AudioTransformer,
    head: Probe,
    scaling: InputScaling,
    spectrograms: Tensor,
    labels: Tensor,
    settings: dict[str, Any],
    *,
    loss_name: str,
    seed: int,
) -> list[float]:
    """Train encoder and head together, in place.

    Parameters
    ----------
    encoder, head
        Left in evaluation mode.
    spectrograms : Tensor [N, 1, T, F]
        Training clips as the front end made them.
    labels : Tensor [N] or [N, C]
        Classes (int64) for ``cross_entropy``, else class presence.
    settings
        The section ``finetuning`` of the parameters.
    seed
        Seed of the order of clips, rolls, drop path and dropout.

    Returns
    -------
    list of float
        Loss of every step.
    """
    optimizer = torch.optim.AdamW(
        layer_decay_groups(
            [*encoder.named_parameters(), *head.named_parameters(prefix="head")],
            depth=encoder.depth,
            layer_decay=settings["layer_decay"],
            weight_decay=settings["weight_decay"],
        ),
        betas=tuple(settings["betas"]),
        fused=True,
    )
    loss_of = loss_function(loss_name)
    steps = settings["steps"]
    batches = shuffled_batches(
        len(spectrograms), steps=steps, batch_size=settings["batch_size"], seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    losses = []
    encoder.train(), head.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for step, batch in enumerate(batches):
            rate = learning_rate(
                step,
                peak=settings["learning_rate"],
                floor=settings["minimum_learning_rate"],
                warmup_steps=settings["warmup_steps"],
                steps=steps,
            )
            set_learning_rate(optimizer, rate)
            heard = spectrograms[batch]
            if settings["time_roll"]:
                heard = roll_in_time(heard, generator)
            loss = loss_of(head(encoder(scaling(heard))), labels[batch])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
    encoder.eval(), head.eval()
    return torch.stack(losses).tolist()


@torch.no_grad()
def predict(
    encoder: AudioTransformer,
    head: Probe,
    scaling: InputScaling,
    spectrograms: Tensor,
    batch_size: int,
) -> Tensor:
    """Return the logits [N, C] of clips [N, 1, T, F]."""
    return torch.cat(
        [head(encoder(scaling(batch))) for batch in torch.split(spectrograms, batch_size)]
    )
