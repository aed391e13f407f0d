"""Conformance vectors of the reference implementation.

One safetensors file per case: tensors computed once in float32 on a CPU from random weights, and
metadata whose values are JSON. ``state.*`` are parameters, ``grad.*`` and ``grad_input.*`` the
gradients under the given cotangent.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def load_case(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        meta = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    return tensors, meta


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose name starts with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Relative error of a whole tensor."""
    scale = expected.norm().clamp(min=1e-12)
    return ((found - expected).norm() / scale).item()
