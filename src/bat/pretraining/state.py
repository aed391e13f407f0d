"""All that a training is at the end of a step, as plain tensors and plain values.

Schedules, the teacher's decay, the place in the order of clips and every random number are
functions of the seed and of the number of steps taken, so that no more than this number is kept of
them.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bat.errors import BatError
from bat.models.encoder import AudioTransformer
from bat.pretraining.guard import LossGuard
from bat.pretraining.step import Student


@dataclass(kw_only=True)
class TrainingState:
    """What a step changes.

    Attributes
    ----------
    student, teacher, optimizer
        The trained pair, the moving average of its encoder, and AdamW of the student.
    guard : LossGuard
        With the last losses.
    steps : int
        Steps taken, which is also how often the teacher was moved.
    curves : list of dict
        The logged steps.
    runs : list of dict
        Where every run of the training began, the first at step 0.
    """

    student: Student
    teacher: AudioTransformer
    optimizer: torch.optim.AdamW
    guard: LossGuard
    steps: int = 0
    curves: list[dict[str, float]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # What the first step of AdamW would make, made now: the state has the same parts always.
        for parameter in self._trained().values():
            self.optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name; these are the state, not copies of it."""
        named = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        named |= {f"teacher.{name}": value for name, value in self.teacher.state_dict().items()}
        for name, parameter in self._trained().items():
            for part, value in self.optimizer.state[parameter].items():
                named[f"optimizer.{part}.{name}"] = value
        return named

    def facts(self) -> dict[str, Any]:
        """Return the rest as plain values."""
        return {
            "steps": self.steps,
            "curves": self.curves,
            "recent_losses": [*self.guard.recent],
            "runs": self.runs,
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become another state of the same training.

        Raises
        ------
        BatError
            Where it has other tensors.
        """
        own = self.tensors()
        if {n: v.shape for n, v in own.items()} != {n: v.shape for n, v in tensors.items()}:
            raise BatError("checkpoint: its tensors are not those of this training")
        for name, value in own.items():
            value.copy_(tensors[name])
        self.steps, self.curves, self.runs = facts["steps"], facts["curves"], facts["runs"]
        self.guard = LossGuard(self.guard.explosion, facts["recent_losses"])

    def is_finite(self) -> bool:
        """Whether every number of the state is one."""
        return bool(torch.stack([v.isfinite().all() for v in self.tensors().values()]).all())

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.student.named_parameters() if p.requires_grad}
