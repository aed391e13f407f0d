"""The collapse monitor: whether targets and embeddings still tell clips apart.

A self-distilled encoder can sink its loss by making all targets alike. The variances here fall to
zero when it does. They are exact over the global batch: sums of all ranks, in float64.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bat.models.encoder import AudioTransformer, TargetOutput
from bat.pretraining.objective import regression_targets


class _Moments:
    """Sums over clips from which variances over clips follow."""

    def __init__(self) -> None:
        self.sums: list[Tensor] = []

    def add(self, values_B: Tensor) -> None:
        """Add values [B, ...]: their number, sum and sum of squares over B."""
        values = values_B.double()
        count = torch.tensor(float(len(values)), dtype=torch.float64, device=values.device)
        new = [count, values.sum(dim=0), values.square().sum(dim=0)]
        self.sums = [a + b for a, b in zip(self.sums, new, strict=True)] if self.sums else new

    def variance(self) -> float:
        """Return the biased variance over clips, averaged over everything else."""
        count, total, squares = self.sums
        return float((squares / count - (total / count).square()).clamp_min(0.0).mean())


class CollapseMonitor:
    """Variances of one global batch, fed with its micro-batches.

    Parameters
    ----------
    target : {"eob", "mlp"}
        Which output of the teacher's blocks is regressed.
    """

    def __init__(self, target: TargetOutput) -> None:
        self.target = target
        self._targets, self._cls_targets = _Moments(), _Moments()
        self._embeddings, self._over_tokens = _Moments(), _Moments()

    @torch.no_grad()
    def add(self, teacher: AudioTransformer, spectrogram: Tensor) -> None:
        """Measure whole clips [b, 1, time, mel]."""
        target_BND = regression_targets(teacher.block_outputs(spectrogram, self.target))
        self._targets.add(target_BND)
        self._cls_targets.add(target_BND.mean(dim=1))
        self._over_tokens.add(target_BND.var(dim=1, correction=0).mean(dim=1))
        self._embeddings.add(teacher(spectrogram).patches[-1].mean(dim=(2, 3)))

    def variances(
        self, sum_over_ranks: Callable[[list[Tensor]], None] | None = None
    ) -> dict[str, float]:
        """Return the variances of the global batch; every rank must ask.

        Returns
        -------
        dict
            ``target_clip_variance``: of a patch's target over clips, averaged over patches and
            dimensions. ``target_token_variance``: over the patches of a clip, averaged over clips
            and dimensions. ``cls_target_variance``: over clips, of what CLS is regressed on, the
            mean target of a clip. ``embedding_variance``: over clips, of the mean patch token of
            the teacher's last block.
        """
        moments = (self._targets, self._cls_targets, self._over_tokens, self._embeddings)
        if sum_over_ranks is not None:
            sum_over_ranks([one for moment in moments for one in moment.sums])
        count, total, _ = self._over_tokens.sums
        return {
            "target_clip_variance": self._targets.variance(),
            "target_token_variance": float(total / count),
            "cls_target_variance": self._cls_targets.variance(),
            "embedding_variance": self._embeddings.variance(),
        }
