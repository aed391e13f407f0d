"""Make CUDA-built torchaudio and torchvision wheels importable beside a CPU-only torch.

The package index has no CPU build of torchaudio or torchvision. Their compiled extensions link
against CUDA libraries, which a CPU-only torch does not bring, so that a plain ``import torchaudio``
or ``import timm`` fails. Everything that this project uses of them is Python above torch: it is
enough to let both packages start as they do where their compiled extension is absent.

Import this module before torchaudio or timm. Where torch has CUDA it does nothing.
"""

import importlib.util
import sys
import types
from typing import NoReturn

import torch


def _needs_alignment_extension(function: object) -> object:
    """Replace a function of torchaudio that needs its compiled extension by a clear error."""

    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        name = getattr(function, "__name__", function)
        raise RuntimeError(f"torchaudio.{name} needs torchaudio's compiled extension")

    return refuse


def _torchaudio_without_extension() -> None:
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio") is None:
        return
    absent = types.ModuleType("torchaudio._extension")
    absent._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    absent._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    absent._check_cuda_version = lambda: None  # type: ignore[attr-defined]
    absent.fail_if_no_align = _needs_alignment_extension  # type: ignore[attr-defined]
    sys.modules["torchaudio._extension"] = absent


# torchvision registers fake kernels for these two at import; they must at least be declared.
_TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A library's declarations live as long as the object: keep it.
_declared: list[torch.library.Library] = []


def _torchvision_operators() -> None:
    if "torchvision" in sys.modules or _declared:
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _TORCHVISION_OPERATORS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)


if torch.version.cuda is None:
    _torchaudio_without_extension()
    _torchvision_operators()
