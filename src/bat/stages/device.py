"""Where a job computes, and how exactly."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Literal

import torch

from bat.params.methods import Compute


@cache
def device() -> torch.device:
    """Return the first GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_precision(compute: Compute) -> None:
    """Set how float32 products are computed."""
    torch.set_float32_matmul_precision(compute.float32_matmul_precision)


def autocast(precision: Literal["float32", "bfloat16"]) -> AbstractContextManager[object]:
    """Run models in a precision; parameters stay float32."""
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bfloat16")
