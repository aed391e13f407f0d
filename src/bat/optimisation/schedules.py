"""Schedules of the learning rate and of the teacher's decay."""

import math

import torch
from torch.optim import Optimizer

from bat.errors import BatError


def learning_rate(step: int, *, peak: float, floor: float, warmup_steps: int, steps: int) -> float:
    """Learning rate in force at a step: linear warm-up, cosine to zero, never below the floor.

    Parameters
    ----------
    step : int
        Number of steps taken before, from 0.
    peak : float
        Rate at the end of the warm-up.
    floor : float
        Lowest rate.
    warmup_steps, steps : int
        Length of the warm-up and of the whole training.

    Examples
    --------
    >>> learning_rate(250, peak=1e-3, floor=1e-6, warmup_steps=500, steps=2000)
    0.0005
    """
    if not 0 <= warmup_steps < steps:
        raise BatError(f"warm-up of {warmup_steps} steps does not fit in {steps} steps")
    if step < warmup_steps:
        return max(floor, peak * step / warmup_steps)
    progress = min(1.0, (step - warmup_steps) / (steps - warmup_steps))
    return max(floor, peak * 0.5 * (1 + math.cos(math.pi * progress)))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set every group's rate, times the group's ``lr_scale`` where it has one.

    Scaling after the floor scales the floor alike.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def ema_decay(step: int, *, start: float, end: float, warmup_steps: int) -> float:
    """Decay of the teacher after a step: linear from start to end, then constant.

    Parameters
    ----------
    step : int
        The optimiser step just taken, from 1.
    start, end : float
        First and last decay.
    warmup_steps : int
        The step at which the end is reached.
    """
    if step > warmup_steps:
        return end
    if warmup_steps == 1:
        return start
    ramp = start + (end - start) * (step - 1) / (warmup_steps - 1)
    # The reference keeps its ramp in single precision; 1 - decay is small enough to show it.
    return torch.tensor(ramp, dtype=torch.float32).item()
