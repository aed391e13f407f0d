"""Pretraining from the first step to the last."""

import math
from collections.abc import Callable
from typing import Any

import polars as pl
import torch
from torch import Tensor

from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.pretraining.curves import CURVES
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.step import Student, pretraining_step, teacher_of
from bat.progress import track


def pretrain(
    encoder: AudioTransformer,
    decoder: ViTDecoder | CNNDecoder,
    inputs: Callable[[Tensor, torch.Generator], Tensor],
    batches: Tensor,
    settings: dict[str, Any],
    *,
    seed: int,
    bfloat16: bool = False,
) -> tuple[AudioTransformer, pl.DataFrame]:
    """Train an encoder by masked latent regression.

    Parameters
    ----------
    encoder, decoder
        The student, trained in place.
    inputs
        From the indices of clips to what the encoder takes, [B, 1, time, mel].
    batches : Tensor [steps, batch], int64
        Clips of every step.
    settings
        Views, mask, target, schedules: the section ``pretraining`` of a model.
    seed
        Seed of rolls, masks and noise.
    bfloat16
        Run the models under bfloat16 autocast.

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
    noise = torch.Generator(next(encoder.parameters()).device).manual_seed(seed)
    curves = []
    for step, batch in enumerate(track(batches, "pretraining")):
        rate, decay = _schedules(step, len(batches), settings)
        set_learning_rate(optimizer, rate)
        heard = inputs(batch, generator)
        losses = pretraining_step(
            student,
            teacher,
            optimizer,
            heard,
            _masks(len(heard), encoder, settings, generator).to(heard.device),
            ema_decay=decay,
            target=settings["target"],
            gradient_clip=settings["gradient_clip"],
            bfloat16=bfloat16,
            generator=noise,
        )
        if step % settings["log_every"] == 0 or step == len(batches) - 1:
            local = float(losses.local_loss)
            _stop_unless_finite(local, step)
            curves.append((step, float(losses.global_loss), local, rate, decay))
    kept = encoder if settings["keep"] == "student" else teacher
    return kept.eval(), pl.DataFrame(curves, schema=CURVES.schema, orient="row")


def _schedules(step: int, steps: int, settings: dict[str, Any]) -> tuple[float, float]:
    """Return the learning rate of a step and the teacher's decay after it."""
    rate = learning_rate(
        step,
        peak=settings["learning_rate"],
        floor=settings["minimum_learning_rate"],
        warmup_steps=settings["warmup_steps"],
        steps=steps,
    )
    ema = settings["ema"]
    decay = ema_decay(step + 1, start=ema["start"], end=ema["end"], warmup_steps=ema["ramp_steps"])
    return rate, decay


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
