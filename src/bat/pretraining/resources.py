"""What a training is given to run with; none of it moves its result."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Options of ``bat pretrain`` that are no parameters of the experiment.

    Attributes
    ----------
    checkpoints : Path
        Folder for the checkpoints of all trainings; each has one of its own below it.
    checkpoint_minutes : float
        Longest time between two checkpoints: what a killed training loses at most.
    checkpoint_steps : int, optional
        Steps between two checkpoints besides.
    checkpoints_kept : int
        Newest checkpoints that are kept.
    metrics : Path
        Folder for the metrics of all trainings.
    workers : int
        Threads of every rank that prepare its clips; 0 prepares them between the steps.
    """

    checkpoints: Path = Path("data/checkpoints")
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    checkpoints_kept: int = 2
    metrics: Path = Path("logs/pretrain")
    workers: int = 1


class Interval:
    """Says when the next checkpoint is due."""

    def __init__(self, *, minutes: float, steps: int | None) -> None:
        self.seconds, self.steps = 60 * minutes, steps
        self._last = time.monotonic()

    def is_over(self, steps_taken: int) -> bool:
        """Tell whether a checkpoint is due after so many steps."""
        if self.steps is not None and steps_taken % self.steps == 0:
            return True
        return time.monotonic() - self._last >= self.seconds

    def begin(self) -> None:
        """Begin the next interval, once a checkpoint was tried."""
        self._last = time.monotonic()
