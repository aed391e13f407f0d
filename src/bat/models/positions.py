"""Fixed two-dimensional sine-cosine positions."""

from typing import Literal

import torch
from torch import Tensor

from bat.errors import BatError

PositionOrder = Literal["frequency-major", "time-major"]


def _sine_cosine(count: int, width: int) -> Tensor:
    """Return [count, width]: sines, then cosines, of positions 0 .. count-1."""
    frequencies = 10_000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sine_cosine_positions(
    *, width: int, time_patches: int, frequency_patches: int, order: PositionOrder
) -> Tensor:
    """Build the position table of a grid of patches.

    The first half of the dimensions encodes time, the second half frequency.

    Parameters
    ----------
    width : int
        Token width D, divisible by four.
    time_patches, frequency_patches : int
        Size (T, F) of the grid.
    order : {"frequency-major", "time-major"}
        Order of the rows. Patch tokens are always time-major (row t*F + f). The released weights
        were trained with frequency-major rows (f*T + t), so that row and token do not name the
        same place; a faithful encoder keeps that.

    Returns
    -------
    Tensor [1, T*F, D], float32

    Raises
    ------
    BatError
        If the width is not divisible by four.
    """
    if width % 4:
        raise BatError(f"positions: expected a width divisible by 4, found {width}")
    time = _sine_cosine(time_patches, width // 2)[:, None].expand(-1, frequency_patches, -1)
    frequency = _sine_cosine(frequency_patches, width // 2)[None].expand(time_patches, -1, -1)
    table_TFD = torch.cat([time, frequency], dim=-1)
    if order == "frequency-major":
        table_TFD = table_TFD.transpose(0, 1)
    return table_TFD.reshape(1, -1, width).float()
