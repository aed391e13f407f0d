"""Linear probe (LP)."""

from torch import Tensor, nn

from bat.errors import BatError
from bat.models.tokens import Tokens
from bat.probes.base import NORM_EPS, Pooling, Probe, check_pooling, linear, pooled


class LinearProbe(Probe):
    """Linear classifier on one pooled token of one block.

    LayerNorm, dropout and a linear layer.

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits.
    pooling : {"cls", "mean"}
        CLS token or mean patch.
    frame_wise : bool
        Classify every time patch by its mean over frequency.
    block : int
        The block to read; -1 is the last.
    dropout : float
        Dropout before the linear layer.

    Raises
    ------
    BatError
        If there is no such block or pooling.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        classes: int,
        pooling: Pooling = "cls",
        frame_wise: bool = False,
        block: int = -1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(depth=depth, width=width)
        check_pooling(pooling, frame_wise)
        if not -depth <= block < depth:
            raise BatError(f"linear probe: expected one of {depth} blocks, found block {block}")
        self.pooling, self.frame_wise, self.block = pooling, frame_wise, block
        self.ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear(width, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return the pooled token [B, D], frame-wise [B, T, D], of the probe's block."""
        block = slice(self.block, self.block + 1 or None)
        one = Tokens(cls=tokens.cls[block], patches=tokens.patches[block])
        return pooled(one, self.pooling, self.frame_wise)[..., 0, :]

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C] or [B, T, C]."""
        logits: Tensor = self.fc(self.dropout(self.ln(features)))
        return logits
