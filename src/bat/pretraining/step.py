"""One step of pretraining, from masked views to the moved teacher."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer, TargetOutput
from bat.pretraining.ema import update_teacher
from bat.pretraining.micro_batches import MicroBatch
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
    """What a step measured over its global batch: detached scalars on the device.

    Attributes
    ----------
    global_loss, local_loss : Tensor
        Of the CLS token and of the masked patches.
    gradient_norm : Tensor
        Of the whole gradient, before it is clipped.
    """

    global_loss: Tensor
    local_loss: Tensor
    gradient_norm: Tensor


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
    """Train the student on one batch in one pass, then move the teacher.

    Parameters
    ----------
    spectrogram, keep_BVn, generator
        The batch; as of ``pretraining_losses``.
    student, teacher, optimizer, ema_decay, target, gradient_clip, bfloat16
        As of ``accumulated_step``.
    """
    return accumulated_step(
        student,
        teacher,
        optimizer,
        [MicroBatch(spectrogram=spectrogram, keep_BVn=keep_BVn, generator=generator)],
        micro_batches=1,
        ema_decay=ema_decay,
        target=target,
        gradient_clip=gradient_clip,
        bfloat16=bfloat16,
    )


def accumulated_step(
    student: Student,
    teacher: AudioTransformer,
    optimizer: torch.optim.Optimizer,
    own: Iterable[MicroBatch],
    *,
    micro_batches: int,
    ema_decay: float,
    target: TargetOutput = "eob",
    gradient_clip: float | None = None,
    bfloat16: bool = False,
    sum_over_ranks: Callable[[list[Tensor]], None] | None = None,
) -> StepLosses:
    """Train the student on a global batch, micro-batch by micro-batch, then move the teacher.

    Micro-batches are of one size, and as many patches of every view are masked: the mean of
    their losses is the loss of the whole batch.

    Parameters
    ----------
    student, teacher : Student, AudioTransformer
        The trained pair and the moving average of its encoder.
    optimizer : torch.optim.Optimizer
        Optimiser of the student, its learning rate already set.
    own : iterable of MicroBatch
        Those of this rank.
    micro_batches : int
        Number of micro-batches of the global batch, over all ranks.
    ema_decay : float
        Share of the teacher that stays.
    target : {"eob", "mlp"}
        Which output of the teacher's blocks is regressed.
    gradient_clip : float, optional
        Largest norm of the whole gradient (EAT: 4; BAT: none).
    bfloat16 : bool
        Run the models under bfloat16 autocast; targets and losses stay float32.
    sum_over_ranks : callable, optional
        Sums tensors over all ranks, in place; without it there is one rank.

    Returns
    -------
    StepLosses
    """
    losses = _accumulate_gradients(
        student,
        teacher,
        optimizer,
        own,
        micro_batches=micro_batches,
        target=target,
        bfloat16=bfloat16,
    )
    norm = _finish_gradients(student, losses, gradient_clip, sum_over_ranks)
    optimizer.step()
    update_teacher(teacher, student.encoder, ema_decay)
    return StepLosses(global_loss=losses[0], local_loss=losses[1], gradient_norm=norm)


def _accumulate_gradients(
    student: Student,
    teacher: AudioTransformer,
    optimizer: torch.optim.Optimizer,
    own: Iterable[MicroBatch],
    *,
    micro_batches: int,
    target: TargetOutput,
    bfloat16: bool,
) -> Tensor:
    """Leave this rank's share of the gradient in the student; return that of the losses, [2]."""
    shares: list[Tensor] = []
    for micro in own:
        with torch.autocast(micro.spectrogram.device.type, torch.bfloat16, enabled=bfloat16):
            losses = pretraining_losses(
                student,
                teacher,
                micro.spectrogram,
                micro.keep_BVn,
                target=target,
                generator=micro.generator,
            )
        share = torch.stack(losses) / micro_batches
        if not shares:
            # Not before the forward pass: memory given back that early is fetched anew, which costs
            # a tenth of a step of a small model on a CPU.
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(share.sum())
        shares.append(share.detach())
    return torch.stack(shares).sum(dim=0)


def _finish_gradients(
    student: Student,
    losses: Tensor,
    clip: float | None,
    sum_over_ranks: Callable[[list[Tensor]], None] | None,
) -> Tensor:
    """Sum gradient and losses over all ranks, in place, and clip; return the norm before that."""
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    if sum_over_ranks is not None:
        sum_over_ranks([*gradients, losses])
    norm = nn.utils.get_total_norm(gradients)
    if clip is not None:
        nn.utils.clip_grads_with_norm_(student.parameters(), clip, norm)
    return norm
