"""Random numbers that depend on where they are used, never on what was drawn before.

Every micro-batch of every step has generators of its own, seeded by the seed of the training, the
step and the place of the micro-batch in the global batch. So masks, rolls and noise depend neither
on the number of ranks nor on who prepares a micro-batch when, and a training that goes on from a
checkpoint needs no state of a generator.
"""

from typing import Literal

import torch

from bat.seeds import derive_seed

# What the numbers are for: rolls and other changes of the input, masks, the decoder's noise.
Purpose = Literal["input", "mask", "noise"]


def generator_for(
    purpose: Purpose,
    *,
    seed: int,
    step: int,
    micro_batch: int,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """Return a fresh generator for one purpose in one micro-batch of one step.

    Parameters
    ----------
    purpose : {"input", "mask", "noise"}
        Purposes do not share their numbers.
    seed : int
        Of the training.
    step : int
        Steps taken before, from 0.
    micro_batch : int
        Place of the micro-batch in the global batch of all ranks, from 0.
    device : torch.device
        Where the numbers are drawn.
    """
    own = derive_seed(seed, purpose, str(step), str(micro_batch))
    return torch.Generator(device).manual_seed(own)
