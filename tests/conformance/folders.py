"""Golden folders for the tests: read, changed, written."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def read(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, {key: json.loads(value) for key, value in file.metadata().items()}


def write(folder: Path, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a case and enter it in the folder's index."""
    written = {key: json.dumps(value) for key, value in metadata.items()}
    contiguous = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(contiguous, folder / f"{name}.safetensors", written)
    path = folder / "INDEX.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    shapes = {
        key: [str(value.dtype).removeprefix("torch."), list(value.shape)]
        for key, value in tensors.items()
    }
    path.write_text(json.dumps(index | {name: {"meta": metadata, "tensors": shapes}}))


def changed(tensor: Tensor) -> Tensor:
    """One value of a tensor moved by a thousandth of the largest magnitude, or an integer by 1."""
    copy = tensor.clone()
    flat = copy.view(-1)
    step = 1 if not copy.is_floating_point() else max(1e-3 * float(tensor.abs().max()), 1e-3)
    flat[flat.numel() // 4] += step
    return copy


def random_state(module: torch.nn.Module, scale: float = 0.1) -> dict[str, Tensor]:
    """The module's weights, the trained ones moved at random so that none is special."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn_like(parameter))
    return {name: value.clone() for name, value in module.state_dict().items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.clone() for name, value in tensors.items()}
