"""Visual query tuning (VQT): a probe that asks a live encoder."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bat.errors import BatError
from bat.probes.base import NORM_EPS, linear

if TYPE_CHECKING:
    from bat.models.encoder import AudioTransformer


class VisualQueryProbe(nn.Module):
    """Linear classifier on what learned queries read in each block of a frozen encoder.

    Every block has queries of its own. They attend over the block's tokens but give neither keys
    nor values, so that the tokens stay those of the frozen encoder; they pass the rest of the
    block and are dropped. CLS of the last block and, block by block, the outputs of its queries
    as one vector are L2-normalised each and concatenated, CLS first. LayerNorm (where asked
    for), dropout and a linear layer follow.

    Parameters
    ----------
    encoder : AudioTransformer
        Frozen in place; it stays in evaluation mode while the probe trains.
    classes : int
        Number of logits C.
    queries : int
        Queries q of each block.
    head_norm : bool
        Whether a LayerNorm precedes the linear layer.
    dropout : float
        Dropout before the linear layer.

    Raises
    ------
    BatError
        If the encoder's blocks take no queries.

    Notes
    -----
    ``vqt`` and ``head.*`` are trained: ``L*q*D + (1 + L*q)*D*C + C`` parameters without norm.
    Gradients pass through the block of a query only, never through the encoder's own tokens.
    """

    def __init__(
        self,
        encoder: "AudioTransformer",
        *,
        classes: int,
        queries: int = 10,
        head_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not hasattr(encoder, "with_queries"):
            raise BatError(
                "visual query probe: expected an audio transformer, whose blocks take queries, "
                f"found {type(encoder).__name__}"
            )
        self.encoder = encoder.requires_grad_(False).eval()
        depth, width = encoder.depth, encoder.width
        self.vqt = nn.Parameter(torch.randn(depth, queries, width) * 0.02)
        inputs = (1 + depth * queries) * width
        # Named, so that norm and linear layer are head.0 and head.1 whatever stands between.
        self.head = nn.Sequential(
            OrderedDict[str, nn.Module](
                {
                    "0": nn.LayerNorm(inputs, eps=NORM_EPS) if head_norm else nn.Identity(),
                    "dropout": nn.Dropout(dropout),
                    "1": linear(inputs, classes),
                }
            )
        )

    def train(self, mode: bool = True) -> Self:
        """Put the head in training mode; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return logits [B, C].

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            Time must be a multiple of the patch size. Of an input longer than the position grid
            CLS and query outputs are averaged over the encoder's chunks, then normalised.

        Raises
        ------
        BatError
            If the spectrogram has another shape.
        """
        cls_BD, queries_LBqD = self.encoder.with_queries(spectrogram, self.vqt)
        blocks_BLX = F.normalize(queries_LBqD.flatten(2), dim=-1).transpose(0, 1)
        features = torch.cat([F.normalize(cls_BD, dim=-1), blocks_BLX.flatten(1)], dim=-1)
        logits: Tensor = self.head(features)
        return logits

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, C]; what this probe reads is the spectrogram itself."""
        logits: Tensor = self(features)
        return logits

    def penalty(self) -> Tensor:
        """Return this probe's addition to the loss: none."""
        return torch.zeros(())
