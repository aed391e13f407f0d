"""What all probes share: the split into fixed features and trained classifier, and pooling."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from bat.errors import BatError
from bat.models.tokens import Tokens

Pooling = Literal["cls", "mean"]

# Of the LayerNorm before the linear layer, as in the encoder.
NORM_EPS = 1e-6


class Probe(nn.Module, ABC):
    """A head on a frozen encoder's tokens.

    ``features`` is everything before the first trained parameter: with frozen tokens it is
    computed once per clip, not once per step. ``classify`` is the rest.

    Parameters
    ----------
    depth, width : int
        Blocks L and width D of the encoder whose tokens it reads.
    """

    def __init__(self, *, depth: int, width: int) -> None:
        super().__init__()
        self.depth, self.width = depth, width

    def features(self, tokens: Tokens) -> Tensor:
        """Return what the probe reads of the tokens, batch first: [B, ...].

        Raises
        ------
        BatError
            If the tokens are of another number of blocks or another width.
        """
        if (tokens.cls.shape[0], tokens.cls.shape[2]) != (self.depth, self.width):
            raise BatError(
                f"probe: expected tokens cls [{self.depth}, B, {self.width}] and patches "
                f"[{self.depth}, B, {self.width}, T, F], "
                f"found {list(tokens.cls.shape)} and {list(tokens.patches.shape)}"
            )
        return self._read(tokens)

    @abstractmethod
    def _read(self, tokens: Tokens) -> Tensor:
        """Return the features [B, ...] of tokens that fit the probe."""

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C], or [B, T, C] of a frame-wise probe."""

    def forward(self, tokens: Tokens) -> Tensor:
        """Return logits [B, C], or [B, T, C] of a frame-wise probe."""
        return self.classify(self.features(tokens))

    def penalty(self) -> Tensor:
        """Return the probe's addition to the loss, a scalar; zero for most."""
        return torch.zeros(())


def linear(inputs: int, classes: int) -> nn.Linear:
    """Return the classifier's linear layer: Xavier-uniform weight, zero bias."""
    layer = nn.Linear(inputs, classes)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def check_pooling(pooling: str, frame_wise: bool) -> None:
    """Raise BatError unless the pooling exists and fits; a time patch has no CLS token."""
    if pooling not in ("cls", "mean"):
        raise BatError(f"probe pooling: expected cls or mean, found {pooling}")
    if frame_wise and pooling == "cls":
        raise BatError("probe pooling: a frame-wise probe expected mean, found cls")


def pooled(tokens: Tokens, pooling: Pooling, frame_wise: bool) -> Tensor:
    """Reduce each block to one token per clip or per time patch.

    Returns
    -------
    Tensor [B, L, D]
        CLS token or mean over patches of each block; frame-wise [B, T, L, D], the mean over
        frequency of each time patch.
    """
    if frame_wise:
        return tokens.patches.mean(dim=4).permute(1, 3, 0, 2)
    if pooling == "cls":
        return tokens.cls.transpose(0, 1)
    return tokens.patches.mean(dim=(3, 4)).transpose(0, 1)
