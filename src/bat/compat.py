"""What happens around the imports of torchaudio, torchvision and timm.

**CPU-only torch.** The package index has no CPU build of torchaudio or torchvision for Linux. Their
compiled extensions link against CUDA libraries, which a CPU-only torch does not bring, so that a
plain ``import torchaudio`` or ``import timm`` fails. Everything that this project uses of them is
Python above torch: it is enough to let both packages start as they do where their compiled
extension is absent. Where torch has CUDA or the extension can be loaded, nothing is changed.

**timm's registry.** Once timm is imported, ``timm.create_model`` knows this project's encoders.

Importing this module puts a finder of these three packages before Python's own. It imports
nothing heavy itself, and needs to come before the first import of any of the three; only where
timm is there already are the encoders registered at once.
"""

import importlib
import sys
import types
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, NoReturn


def _needs_compat(spec: ModuleSpec, extension: str) -> bool:
    """Tell whether a package's compiled extension cannot be loaded because torch has no CUDA."""
    import torch

    if torch.version.cuda is not None:
        return False
    for folder in spec.submodule_search_locations or []:
        for library in Path(folder).glob(extension):
            try:
                torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
            except OSError:
                continue
            return False
    return True


def _needs_alignment_extension(function: object) -> object:
    """Replace a function of torchaudio that needs its compiled extension by a clear error."""

    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        name = getattr(function, "__name__", function)
        raise RuntimeError(f"torchaudio.{name} needs torchaudio's compiled extension")

    return refuse


def _prepare_torchaudio(spec: ModuleSpec) -> None:
    if not _needs_compat(spec, "lib/_torchaudio.*"):
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
_declared: list[Any] = []


def _prepare_torchvision(spec: ModuleSpec) -> None:
    if _declared or not _needs_compat(spec, "_C.*"):
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _TORCHVISION_OPERATORS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)


def _register_encoders() -> None:
    # By name: this module lies below the models.
    importlib.import_module("bat.models.timm_models")


_PREPARE: dict[str, Callable[[ModuleSpec], None]] = {
    "torchaudio": _prepare_torchaudio,
    "torchvision": _prepare_torchvision,
}


class _Around(MetaPathFinder):
    """Finds the packages where Python does, and acts just before or after they are run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (*_PREPARE, "timm"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            if fullname in _PREPARE:
                _PREPARE[fullname](spec)
            run(module)
            if fullname == "timm":
                _register_encoders()

        # On this one loader, which is the package's own: whoever asks it for files is answered.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Around())
if "timm" in sys.modules:
    _register_encoders()
