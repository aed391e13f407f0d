"""Speech recognition probe (ASR): characters from the tokens of all blocks."""

import torch
from torch import Tensor, nn

from bat.models.tokens import Tokens
from bat.probes.base import NORM_EPS, Probe, linear

# Output frames per time patch: a patch of 16 frames of 10 ms becomes frames of 20 ms, short
# enough for one character each.
UPSAMPLING = 8


class AsrProbe(Probe):
    """Recurrent character classifier on a convex combination of the blocks.

    The patches' mean over frequency is summed over blocks, weighted by the softmax of one learned
    scalar per block. A transposed convolution makes eight frames of each time patch; a two-layer
    bidirectional LSTM, LayerNorm and a linear layer give the logits of every frame, for
    connectionist temporal classification (CTC).

    Parameters
    ----------
    depth, width, classes : int
        Blocks L and width D of the encoder; number of logits C (characters and the blank).
    hidden : int
        Width of the LSTM in each direction.
    dropout : float
        Dropout between the layers of the LSTM.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        classes: int,
        hidden: int = 512,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(depth=depth, width=width)
        self.block_attention = nn.Parameter(torch.zeros(depth))
        self.upsample = nn.ConvTranspose1d(width, width, UPSAMPLING, stride=UPSAMPLING)
        self.lstm = nn.LSTM(
            width, hidden, num_layers=2, bidirectional=True, batch_first=True, dropout=dropout
        )
        self.ln = nn.LayerNorm(2 * hidden, eps=NORM_EPS)
        self.fc = linear(2 * hidden, classes)

    def _read(self, tokens: Tokens) -> Tensor:
        """Return the mean over frequency of every time patch, [B, T, L, D]."""
        return tokens.patches.mean(dim=4).permute(1, 3, 0, 2)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits [B, 8*T, C]."""
        mixed_BTD = torch.einsum("l,btld->btd", self.gate_weights(), features)
        frames_BSD = self.upsample(mixed_BTD.transpose(1, 2)).transpose(1, 2)
        # Rounding adds up over hundreds of recurrent steps: float32 even under autocast.
        with torch.autocast(frames_BSD.device.type, enabled=False):
            states_BSH, _ = self.lstm(frames_BSD.float())
        logits: Tensor = self.fc(self.ln(states_BSH))
        return logits

    def gate_weights(self) -> Tensor:
        """Return the weight of each block, [L], summing to one."""
        return torch.softmax(self.block_attention, dim=0)
