"""The teacher: an exponential moving average of the student's encoder."""

import torch
from torch import nn


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move every parameter of the teacher towards the student's, in place.

    ``teacher = decay * teacher + (1 - decay) * student``.

    Parameters
    ----------
    teacher, student : nn.Module
        Two encoders of one architecture.
    decay : float
        Share of the teacher that stays; see ``bat.optimisation.schedules.ema_decay``.
    """
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - decay)
