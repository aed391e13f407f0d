"""Linear convex gated probe (LCGP)."""

import torch
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.probes.base import NORM_EPS, Pooling, Probe, check_pooling, linear, pooled


class LinearConvexGatedProbe(Probe):
    """Linear classifier on a convex combination of the pooled tokens of all blocks.

    The combination's weights are the softmax of one learned scalar per block; then LayerNorm,
    dropout and a linear layer.

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits.
    pooling : {"cls", "mean"}
        CLS token or mean patch.
    frame_wise : bool
        Classify every time patch by its mean over frequency.
    dropout : float
        Dropout before the linear layer.

    Raises
    ------
    BatError
        If there is no such pooling.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        classes: int,
        pooling: Pooling = "cls",
        frame_wise: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(depth=depth, width=width)
        check_pooling(pooling, frame_wise)
        self.pooling, self.frame_wise = pooling, frame_wise
        self.block_attention = nn.Parameter(torch.zeros(depth))
        self.ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear(width, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return the pooled token of every block, [B, L, D], frame-wise [B, T, L, D]."""
        return pooled(tokens, self.pooling, self.frame_wise)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C] or [B, T, C]."""
        mixed = (self.gate_weights()[:, None] * features).sum(dim=-2)
        logits: Tensor = self.fc(self.dropout(self.ln(mixed)))
        return logits

    def gate_weights(self) -> Tensor:
        """Return the weight of each block, [L], summing to one."""
        return torch.softmax(self.block_attention, dim=0)
