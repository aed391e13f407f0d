"""Where a job computes, and how exactly."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Literal

import torch

from bat.params.methods import Compute
from bat.runtime import local_rank


@cache
def device() -> torch.device:
    """Return the first GPU, under torchrun this rank's, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # With its number: a thread of its own would take the first one otherwise.
    return torch.device("cuda", local_rank() % torch.cuda.device_count())


def set_precision(compute: Compute) -> None:
    """Set how float32 products are computed."""
    torch.set_float32_matmul_precision(compute.float32_matmul_precision)


def autocast(precision: Literal["float32", "bfloat16"]) -> AbstractContextManager[object]:
    """Run models in a precision; parameters stay float32."""
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bfloat16")
