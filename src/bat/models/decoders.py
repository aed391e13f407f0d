"""The pretraining decoders: from visible tokens to a prediction for every patch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bat.errors import BatError
from bat.models.blocks import PostNormBlock, initialise
from bat.models.positions import sine_cosine_positions

# Standard deviation of the noise that fills masked places before the convolutional decoder.
MASK_NOISE = 0.01


def place_visible(background_BND: Tensor, visible_BnD: Tensor, keep_Bn: Tensor) -> Tensor:
    """Write visible tokens into their places of a full grid of background tokens."""
    index = keep_Bn[..., None].expand(-1, -1, visible_BnD.shape[-1])
    return background_BND.scatter(1, index, visible_BnD)


def _in_projection(width: int, decoder_width: int) -> nn.Module:
    return nn.Identity() if width == decoder_width else nn.Linear(width, decoder_width)


class ViTDecoder(nn.Module):
    """Transformer decoder of BAT.

    Visible tokens are scattered into mask tokens on the full grid, trainable positions are
    added, then follow post-norm blocks and a bias-free output projection. There is no CLS token.

    Parameters
    ----------
    width : int
        Width D of the encoder's tokens and of the prediction.
    depth, heads : int
        Number of blocks and of attention heads.
    mlp_ratio : float
        Hidden width of the MLP over the decoder's width.
    grid : tuple of int
        Time and frequency patches (T, F).
    gated : bool
        Whether attention is gated.
    decoder_width : int, optional
        Width inside the decoder; where it differs from D, a linear map leads in and the output
        projection leads back.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        grid: tuple[int, int],
        gated: bool = True,
        decoder_width: int | None = None,
    ) -> None:
        super().__init__()
        inner = decoder_width or width
        self.in_proj = _in_projection(width, inner)
        self.mask_token = nn.Parameter(torch.randn(1, 1, inner) * 0.02)
        self.pos_embed = nn.Parameter(
            sine_cosine_positions(
                width=inner,
                time_patches=grid[0],
                frequency_patches=grid[1],
                order="frequency-major",
            )
        )
        self.blocks = nn.ModuleList(
            PostNormBlock(width=inner, heads=heads, mlp_ratio=mlp_ratio, gated=gated)
            for _ in range(depth)
        )
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.apply(initialise)

    def forward(
        self, visible_BnD: Tensor, keep_Bn: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Predict every patch.

        Parameters
        ----------
        visible_BnD : Tensor [B, n, D]
            Encoded visible tokens.
        keep_Bn : Tensor [B, n], int64
            Their places on the grid.
        generator : torch.Generator, optional
            Not needed: this decoder draws nothing.

        Returns
        -------
        Tensor [B, N, D]
        """
        visible: Tensor = self.in_proj(visible_BnD)
        masked = self.mask_token.to(visible.dtype).expand(len(visible), self.pos_embed.shape[1], -1)
        x = place_visible(masked, visible, keep_Bn) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        prediction: Tensor = self.out_proj(x)
        return prediction


class CNNDecoder(nn.Module):
    """Convolutional decoder of EAT (and data2vec 2.0).

    Masked places are filled with noise; then follow layers of a grouped convolution over the
    time-frequency grid, LayerNorm over channels without affine and GELU, with a residual around
    each layer, and a linear output.

    Parameters
    ----------
    width : int
        Width D of the encoder's tokens and of the prediction.
    depth : int
        Number of convolution layers.
    grid : tuple of int
        Time and frequency patches (T, F).
    kernel, groups : int
        Odd side and number of groups of the convolutions.
    decoder_width : int, optional
        Width inside the decoder; where it differs from D, a linear map leads in.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        grid: tuple[int, int],
        kernel: int = 3,
        groups: int = 16,
        decoder_width: int | None = None,
    ) -> None:
        super().__init__()
        inner = decoder_width or width
        if inner % groups or kernel % 2 == 0:
            raise BatError(
                "convolutional decoder: expected an odd kernel and a width divisible by "
                f"{groups} groups, found kernel {kernel} and width {inner}"
            )
        self.grid = grid
        self.in_proj = _in_projection(width, inner)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=groups)
            for _ in range(depth)
        )
        self.out_proj = nn.Linear(inner, width)
        self.apply(initialise)

    def forward(
        self, visible_BnD: Tensor, keep_Bn: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Predict every patch; arguments as of ``ViTDecoder``, the generator draws the noise."""
        visible: Tensor = self.in_proj(visible_BnD)
        time, frequency = self.grid
        noise = visible.new_empty(len(visible), time * frequency, visible.shape[-1])
        noise.normal_(0.0, MASK_NOISE, generator=generator)
        x = place_visible(noise, visible, keep_Bn).view(len(visible), time, frequency, -1)
        for convolution in self.convolutions:
            # A view: the convolution sees the tokens as channels-last images.
            mixed = convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            x = x + F.gelu(F.layer_norm(mixed, mixed.shape[-1:]))
        prediction: Tensor = self.out_proj(x.flatten(1, 2))
        return prediction
