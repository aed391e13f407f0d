"""Inverse block masking: choose what stays visible, in blocks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bat.errors import BatError


def inverse_block_mask(
    samples: int,
    *,
    grid: tuple[int, int],
    mask_ratio: float = 0.8,
    block: int = 5,
    adjust: float = 0.07,
    generator: torch.Generator,
) -> Tensor:
    """Draw the visible patches of masked views (inverse block masking of data2vec 2.0).

    Block centres are drawn uniformly with replacement and dilated to kept blocks; then random
    patches are dropped or added until the wanted number is kept.

    Parameters
    ----------
    samples : int
        Number of views.
    grid : tuple of int
        Time and frequency patches (T, F), N = T * F.
    mask_ratio : float
        Share of masked patches; exactly ``int((1 - mask_ratio) * N)`` are kept.
    block : int
        Odd side of a kept block.
    adjust : float
        Added to the kept share when the number of centres
        ``int(N * (1 - mask_ratio + adjust) / block**2)`` is computed, because blocks overlap and
        reach over the border. A grid too small for one whole block gets one centre.
    generator : torch.Generator
        Source of randomness; the masks are made on its device.

    Returns
    -------
    Tensor [samples, n], int64
        Sorted indices of kept patches, time-major (t*F + f).

    Raises
    ------
    BatError
        If nothing or everything would be kept, or the block has an even side.
    """
    time, frequency = grid
    patches = time * frequency
    kept = int((1 - mask_ratio) * patches)
    if not 0 < kept < patches or block % 2 == 0:
        raise BatError(
            "inverse block mask: expected an odd block and a mask ratio that keeps some but not "
            f"all of {patches} patches, found block {block} and mask ratio {mask_ratio}"
        )
    device = generator.device
    count = max(1, int(patches * (1 - mask_ratio + adjust) / block**2))
    centres = torch.randint(patches, (samples, count), generator=generator, device=device)
    chosen = torch.zeros(samples, patches, device=device).scatter_(1, centres, 1.0)
    blocks = F.max_pool2d(chosen.view(samples, 1, *grid), block, stride=1, padding=block // 2)
    # Random order inside and outside the blocks, blocks first: its head keeps random patches of
    # too large blocks and adds random patches to too small ones.
    order = blocks.view(samples, patches) + torch.rand(
        samples, patches, generator=generator, device=device
    )
    return order.topk(kept, dim=1).indices.sort(dim=1).values
