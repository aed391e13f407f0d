"""Pretraining from the first step to the last."""

import math
from typing import Any

import polars as pl
import torch
from torch import Tensor

from bat.audio.augmentation import roll_in_time
from bat.models.checkpoint import InputScaling
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.optimisation.batches import shuffled_batches
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.step import Student, pretraining_step, teacher_of
from bat.progress import track

# Training curves: one row per logged step.
CURVES = pl.DataFrame(
    schema={
        "step": pl.Int64,
        "global_loss": pl.Float64,
        "local_loss": pl.Float64,
        "learning_rate": pl.Float64,
        "ema_decay": pl.Float64,
    }
)


def pretrain(
    encoder: AudioTransformer,
    decoder: ViTDecoder | CNNDecoder,
    spectrograms: Tensor,
    scaling: InputScaling,
    settings: dict[str, Any],
    *,
    seed: int,
) -> tuple[AudioTransformer, pl.DataFrame]:
    """Train an encoder by masked latent regression.

    Parameters
    ----------
    encoder, decoder
        The student, trained in place.
    spectrograms : Tensor [N, 1, T, F]
        What the front end made of the clips to hear.
    scaling
        Brings spectrograms to the encoder's input.
    settings
        Steps, batch, views, mask, target, schedules: the section ``pretraining`` of a model.
    seed
        Seed of the order of clips, rolls, masks and noise.

    Returns
    -------
    tuple
        The encoder to keep (student or teacher, as the settings say) and the training curves.
    """
    student, teacher = Student(encoder, decoder), teacher_of(encoder)
    optimizer = torch.optim.AdamW(
        [p for p in student.parameters() if p.requires_grad],
        betas=tuple(settings["betas"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    generator = torch.Generator().manual_seed(seed)
    steps = settings["steps"]
    batches = shuffled_batches(
        len(spectrograms), steps=steps, batch_size=settings["batch_size"], seed=seed
    )
    curves = []
    for step, batch in enumerate(track(batches, "pretraining")):
        rate = learning_rate(
            step,
            peak=settings["learning_rate"],
            floor=settings["minimum_learning_rate"],
            warmup_steps=settings["warmup_steps"],
            steps=steps,
        )
        set_learning_rate(optimizer, rate)
        decay = ema_decay(
            step + 1,
            start=settings["ema"]["start"],
            end=settings["ema"]["end"],
            warmup_steps=settings["ema"]["ramp_steps"],
        )
        heard = spectrograms[batch]
        if settings["time_roll"]:
            heard = roll_in_time(heard, generator)
        losses = pretraining_step(
            student,
            teacher,
            optimizer,
            scaling(heard),
            _masks(len(heard), encoder, settings, generator),
            ema_decay=decay,
            target=settings["target"],
            gradient_clip=settings["gradient_clip"],
            generator=generator,
        )
        if step % settings["log_every"] == 0 or step == steps - 1:
            local = float(losses.local_loss)
            _stop_unless_finite(local, step)
            curves.append((step, float(losses.global_loss), local, rate, decay))
    kept = encoder if settings["keep"] == "student" else teacher
    return kept.eval(), pl.DataFrame(curves, schema=CURVES.schema, orient="row")


def _masks(
    clips: int, encoder: AudioTransformer, settings: dict[str, Any], generator: torch.Generator
) -> Tensor:
    """Visible patches of all views [B, V, n]."""
    keep = inverse_block_mask(
        clips * settings["views"],
        grid=(encoder.grid_time_patches, encoder.frequency_patches),
        mask_ratio=settings["mask_ratio"],
        block=settings["mask_block"],
        adjust=settings["mask_adjust"],
        generator=generator,
    )
    return keep.view(clips, settings["views"], -1)


def _stop_unless_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(f"pretraining: the loss is {loss} at step {step}")
