"""Convex gated probe (CGP)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.probes.base import Pooling, Probe, check_pooling, linear
from bat.probes.similarity import smallest_and_largest


class ConvexGatedProbe(Probe):
    """Prototypes compared with a convex combination of the tokens of all blocks.

    Every token of every block is L2-normalised; the blocks are summed with weights that are the
    softmax of one learned scalar per block, and the sum is not normalised again. Each prototype
    gives three features: its smallest similarity over patches, its similarity with CLS, its
    largest over patches. Dropout and a linear layer follow.

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits.
    prototypes : int
        Number of prototypes K.
    pooling : {"cls", "mean"}
        Middle feature: similarity with CLS, or the mean similarity over patches.
    frame_wise : bool
        Classify every time patch: smallest, mean and largest similarity over frequency only.
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
        prototypes: int = 10_000,
        pooling: Pooling = "cls",
        frame_wise: bool = False,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(depth=depth, width=width)
        check_pooling(pooling, frame_wise)
        self.pooling, self.frame_wise = pooling, frame_wise
        self.block_attention = nn.Parameter(torch.ones(depth))
        self.prototype_vectors = nn.Parameter(torch.randn(prototypes, width, 1, 1) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear(3 * prototypes, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return unit tokens, [B, L, 1+N, D], frame-wise [B, T, L, 1+F, D].

        Row 0 belongs to the middle feature: the CLS token, or the mean of the unit patches (the
        mean similarity is the similarity with the mean, and mixing blocks is linear too).
        """
        unit_LBDTF = F.normalize(tokens.patches, dim=2)
        if self.frame_wise:
            patches = unit_LBDTF.permute(1, 3, 0, 4, 2)
        else:
            patches = unit_LBDTF.flatten(3).permute(1, 0, 3, 2)
        if self.pooling == "cls":
            middle = F.normalize(tokens.cls, dim=-1).transpose(0, 1)[:, :, None]
        else:
            middle = patches.mean(dim=-2, keepdim=True)
        return torch.cat([middle, patches], dim=-2)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C] or [B, T, C]."""
        tokens_RLND = features.flatten(0, -4)
        weights_L = self.gate_weights()
        # Block by block: with frozen tokens the gate's gradient is one inner product per block.
        mixed_RND = weights_L[0] * tokens_RLND[:, 0]
        for block in range(1, len(weights_L)):
            mixed_RND = torch.addcmul(mixed_RND, tokens_RLND[:, block], weights_L[block])
        prototypes_KD = F.normalize(self.prototype_vectors.flatten(1), dim=1)
        smallest, largest = smallest_and_largest(mixed_RND[:, 1:], prototypes_KD)
        middle = mixed_RND[:, 0] @ prototypes_KD.T
        similarities = torch.stack([smallest, middle, largest], dim=-1).flatten(1)
        logits: Tensor = self.fc(self.dropout(similarities))
        return logits.view(*features.shape[:-3], -1)

    def gate_weights(self) -> Tensor:
        """Return the weight of each block, [L], summing to one."""
        return torch.softmax(self.block_attention, dim=0)
