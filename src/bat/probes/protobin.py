"""Binarised prototypes (ProtoBin)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.probes.base import Probe, linear
from bat.probes.similarity import largest


class ProtoBinProbe(Probe):
    """Largest cosine similarity of binary prototypes with the patches of the last block.

    Prototypes are binarised by sign (0 counts as +1) with a straight-through gradient; dropout
    and a linear layer follow.

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits.
    prototypes : int
        Number of prototypes K.
    frame_wise : bool
        Classify every time patch: largest similarity over frequency only.
    dropout : float
        Dropout before the linear layer.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        classes: int,
        prototypes: int = 10_000,
        frame_wise: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(depth=depth, width=width)
        self.frame_wise = frame_wise
        self.prototype_vectors = nn.Parameter(torch.randn(prototypes, width, 1, 1) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear(prototypes, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return the unit patches of the last block, [B, N, D], frame-wise [B, T, F, D]."""
        unit_BTFD = F.normalize(tokens.patches[-1], dim=1).permute(0, 2, 3, 1)
        return unit_BTFD if self.frame_wise else unit_BTFD.flatten(1, 2)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C] or [B, T, C]."""
        similarities = largest(features.flatten(0, -3), self._binary_prototypes())
        logits: Tensor = self.fc(self.dropout(similarities))
        return logits.view(*features.shape[:-2], -1)

    def _binary_prototypes(self) -> Tensor:
        """Return the unit binary prototypes [K, D]; the gradient passes the sign unchanged."""
        real_KD = self.prototype_vectors.flatten(1)
        binary_KD = torch.where(real_KD >= 0, 1.0, -1.0).to(real_KD.dtype)
        return F.normalize(real_KD + (binary_KD - real_KD).detach(), dim=1)
