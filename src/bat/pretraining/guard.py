"""The guard: a training whose loss is no number, or explodes, stops instead of going on."""

import math
import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

# Losses behind the running median, and how many there must be before it counts.
_WINDOW = 100
_ENOUGH = 20


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong: the step, and a few words on what was found there."""

    step: int
    what: str


class LossGuard:
    """Looks at the loss and the gradient's norm of every step, in order.

    Parameters
    ----------
    explosion : float, optional
        A loss above this multiple of the median of the last losses is one too many; without it
        only numbers that are not finite are.
    recent : iterable of float
        The last losses, where a training goes on.
    """

    def __init__(self, explosion: float | None, recent: Iterable[float] = ()) -> None:
        self.explosion = explosion
        self.recent = deque(recent, maxlen=_WINDOW)

    def look(self, step: int, *, loss: float, gradient_norm: float) -> Trouble | None:
        """Judge one step; a sound loss is remembered."""
        if not math.isfinite(loss):
            return Trouble(step=step, what=f"the loss is {loss}")
        if not math.isfinite(gradient_norm):
            return Trouble(step=step, what=f"the gradient's norm is {gradient_norm}")
        if self.explosion is not None and len(self.recent) >= _ENOUGH:
            median = statistics.median(self.recent)
            if loss > self.explosion * median:
                what = f"the loss is {loss:.4g}, above {self.explosion:g} times its running median"
                return Trouble(step=step, what=f"{what} {median:.4g}")
        self.recent.append(loss)
        return None
