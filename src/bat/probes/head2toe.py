"""Head2Toe probe."""

import torch
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.probes.base import NORM_EPS, Pooling, Probe, check_pooling, linear, pooled


class Head2ToeProbe(Probe):
    """Linear classifier on the concatenated pooled tokens of all blocks, with a group lasso.

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits C.
    pooling : {"cls", "mean"}
        CLS token or mean patch.
    frame_wise : bool
        Classify every time patch by its mean over frequency.
    lasso : float
        Weight of the penalty ``sqrt(C) * sum_j ||W[:, j]||_2`` over input features j.
    dropout : float
        Dropout before the linear layer.

    Raises
    ------
    BatError
        If there is no such pooling.
    """

    group_scale: Tensor

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        classes: int,
        pooling: Pooling = "cls",
        frame_wise: bool = False,
        lasso: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(depth=depth, width=width)
        check_pooling(pooling, frame_wise)
        self.pooling, self.frame_wise, self.lasso = pooling, frame_wise, lasso
        self.register_buffer("group_scale", torch.tensor(float(classes)).sqrt())
        self.ln = nn.LayerNorm(depth * width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear(depth * width, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return the concatenated pooled tokens, [B, L*D], frame-wise [B, T, L*D]."""
        return pooled(tokens, self.pooling, self.frame_wise).flatten(-2)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C] or [B, T, C]."""
        logits: Tensor = self.fc(self.dropout(self.ln(features)))
        return logits

    def penalty(self) -> Tensor:
        """Return the weighted group lasso of the linear layer, a scalar."""
        norms: Tensor = torch.linalg.vector_norm(self.fc.weight, dim=0)
        return self.group_scale * norms.sum() * self.lasso
