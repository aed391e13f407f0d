"""An encoder of one's own: a file with a function that builds it. See docs/own-model.md."""

import torch
from torch import Tensor, nn

import bat.compat  # noqa: F401  (makes timm importable beside a CPU-only torch)
from bat.models.tokens import Tokens

# isort: split
from timm.layers import DropPath


class MyEncoder(nn.Module):
    """Transformer over patches of 16 frames and 16 mel bins."""

    patch_size = 16

    def __init__(self, *, width: int, depth: int, mel_bins: int, drop_path: float) -> None:
        super().__init__()
        self.width, self.depth, self.frequency_patches = width, depth, mel_bins // 16
        self.patch_embed = nn.Conv2d(1, width, kernel_size=16, stride=16)
        self.pos_embed = nn.Parameter(torch.zeros(1, width, 1, self.frequency_patches))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        rates = torch.linspace(0, drop_path, depth).tolist()
        self.drops = nn.ModuleList(DropPath(rate) for rate in rates)

    def forward(self, spectrogram: Tensor) -> Tokens:
        """From a spectrogram [B, 1, time, mel] to the tokens of every block."""
        grid_BDTF = self.patch_embed(spectrogram) + self.pos_embed
        x_BND = grid_BDTF.flatten(2).transpose(1, 2)
        outputs = []
        for block, drop in zip(self.blocks, self.drops, strict=True):
            x_BND = x_BND + drop(block(x_BND) - x_BND)
            outputs.append(x_BND.transpose(1, 2).unflatten(2, grid_BDTF.shape[2:]))
        patches_LBDTF = torch.stack(outputs)
        # No CLS token here: the mean patch takes its place.
        return Tokens(cls=patches_LBDTF.mean(dim=(3, 4)), patches=patches_LBDTF)


def build(
    *, width: int = 64, depth: int = 3, mel_bins: int = 128, drop_path: float = 0.0
) -> MyEncoder:
    """Build it; ``options`` of the parameters are the arguments."""
    return MyEncoder(width=width, depth=depth, mel_bins=mel_bins, drop_path=drop_path)
