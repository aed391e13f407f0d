"""One step of pretraining, from masked views to the moved teacher."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer, TargetOutput
from bat.pretraining.ema import update_teacher
from bat.pretraining.objective import masked_regression_loss, regression_targets


class Student(nn.Module):
    """The trained pair: an encoder that sees visible patches, a decoder that predicts all."""

    def __init__(self, encoder: AudioTransformer, decoder: ViTDecoder | CNNDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, spectrogram: Tensor, keep_BVn: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the CLS tokens [B, V, D] and the patch predictions [B, V, N, D]."""
        cls_BVD, visible_BVnD = self.encoder.encode_visible(spectrogram, keep_BVn)
        prediction: Tensor = self.decoder(
            visible_BVnD.flatten(0, 1), keep_BVn.flatten(0, 1), generator
        )
        return cls_BVD, prediction.view(*keep_BVn.shape[:2], *prediction.shape[1:])


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """Global (CLS) and local (masked patches) loss of a step: detached scalars on the device."""

    global_loss: Tensor
    local_loss: Tensor


def teacher_of(encoder: AudioTransformer) -> AudioTransformer:
    """Return a frozen copy of an encoder in evaluation mode: the teacher before the first step."""
    return copy.deepcopy(encoder).eval().requires_grad_(False)


def pretraining_losses(
    student: Student,
    teacher: AudioTransformer,
    spectrogram: Tensor,
    keep_BVn: Tensor,
    *,
    target: TargetOutput = "eob",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the global and the local loss of the masked views of a batch.

    Parameters
    ----------
    student, teacher : Student, AudioTransformer
        The trained pair and the moving average of its encoder.
    spectrogram : Tensor [B, 1, time, mel]
        Whole clips.
    keep_BVn : Tensor [B, V, n], int64
        Visible patches of V views per clip; see ``inverse_block_mask``.
    target : {"eob", "mlp"}
        Which output of the teacher's blocks is regressed.
    generator : torch.Generator, optional
        Noise of the convolutional decoder.
    """
    with torch.no_grad():
        target_BND = regression_targets(teacher.block_outputs(spectrogram, target))
    cls_BVD, prediction_BVND = student(spectrogram, keep_BVn, generator)
    return masked_regression_loss(
        cls_prediction_BVD=cls_BVD,
        patch_prediction_BVND=prediction_BVND,
        target_BND=target_BND,
        keep_BVn=keep_BVn,
    )


def pretraining_step(
    student: Student,
    teacher: AudioTransformer,
    optimizer: torch.optim.Optimizer,
    spectrogram: Tensor,
    keep_BVn: Tensor,
    *,
    ema_decay: float,
    target: TargetOutput = "eob",
    gradient_clip: float | None = None,
    bfloat16: bool = False,
    generator: torch.Generator | None = None,
) -> StepLosses:
    """Train the student on one batch, then move the teacher.

    Parameters
    ----------
    student, teacher, spectrogram, keep_BVn, target, generator
        As of ``pretraining_losses``.
    optimizer : torch.optim.Optimizer
        Optimiser of the student, its learning rate already set.
    ema_decay : float
        Share of the teacher that stays.
    gradient_clip : float, optional
        Largest norm of the whole gradient (EAT: 4; BAT: none).
    bfloat16 : bool
        Run the models under bfloat16 autocast; targets and losses stay float32.

    Returns
    -------
    StepLosses
    """
    with torch.autocast(spectrogram.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        global_loss, local_loss = pretraining_losses(
            student, teacher, spectrogram, keep_BVn, target=target, generator=generator
        )
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(global_loss + local_loss)
    if gradient_clip is not None:
        nn.utils.clip_grad_norm_(student.parameters(), gradient_clip)
    optimizer.step()
    update_teacher(teacher, student.encoder, ema_decay)
    return StepLosses(global_loss=global_loss.detach(), local_loss=local_loss.detach())
