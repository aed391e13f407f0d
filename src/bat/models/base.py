"""What every encoder has in common: spectrogram in, tokens of every block out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from bat.errors import BatError
from bat.models.tokens import Tokens


class Encoder(nn.Module, ABC):
    """A module that maps a spectrogram to the tokens of each of its blocks.

    Attributes
    ----------
    width, depth : int
        Token width D and number of blocks L.
    patch_size : int
        Frames of a patch; the time of an input is a multiple of it.
    frequency_patches : int
        Patches F along the frequency axis.
    """

    width: int
    depth: int
    patch_size: int
    frequency_patches: int

    @abstractmethod
    def forward(self, spectrogram: Tensor) -> Tokens:
        """Encode whole clips [B, 1, time, mel], time a multiple of the patch size."""


class GridEncoder(Encoder):
    """An encoder of square patches that sees at most a grid of them at once.

    Attributes
    ----------
    grid_time_patches : int
        Most time patches that are encoded together.
    """

    grid_time_patches: int

    def forward(self, spectrogram: Tensor) -> Tokens:
        """Encode whole clips.

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            Time must be a multiple of the patch size.

        Returns
        -------
        Tokens
            CLS and patch tokens after every block. An input with more time patches than the
            grid is encoded in chunks of the grid's length, each from the start of the grid and
            with its own CLS token: the patch tokens are concatenated, the CLS tokens averaged.

        Raises
        ------
        BatError
            If the spectrogram has another shape.
        """
        self._check(spectrogram)
        chunk_frames = self.grid_time_patches * self.patch_size
        chunks = [
            self._encode_chunk(chunk) for chunk in torch.split(spectrogram, chunk_frames, dim=2)
        ]
        if len(chunks) == 1:
            return chunks[0]
        return Tokens(
            cls=torch.stack([chunk.cls for chunk in chunks]).mean(dim=0),
            patches=torch.cat([chunk.patches for chunk in chunks], dim=3),
        )

    @abstractmethod
    def _encode_chunk(self, spectrogram: Tensor) -> Tokens:
        """Encode clips that fit the grid."""

    def _tokens(self, patches_LBND: Tensor, cls_LBD: Tensor | None = None) -> Tokens:
        """Put time-major patch tokens on their grid; without CLS their mean takes its place."""
        grid = patches_LBND.transpose(2, 3)
        grid = grid.view(*grid.shape[:3], -1, self.frequency_patches)
        return Tokens(cls=patches_LBND.mean(dim=2) if cls_LBD is None else cls_LBD, patches=grid)

    def _check(self, spectrogram: Tensor) -> None:
        mel_bins = self.frequency_patches * self.patch_size
        shape = list(spectrogram.shape)
        fits = len(shape) == 4 and shape[1] == 1 and shape[3] == mel_bins
        if not fits or shape[2] == 0 or shape[2] % self.patch_size:
            raise BatError(
                f"encoder: expected a spectrogram [B, 1, multiple of {self.patch_size}, "
                f"{mel_bins}], found {shape}"
            )


def frequency_patches(*, mel_bins: int, patch_size: int) -> int:
    """Return how many patches cover the mel bins.

    Raises
    ------
    BatError
        If they do not do so exactly.
    """
    if mel_bins % patch_size:
        raise BatError(f"encoder: {mel_bins} mel bins are no multiple of patch {patch_size}")
    return mel_bins // patch_size
