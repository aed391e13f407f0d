"""BAT, the Better Audio Transformer, as a pipeline whose every number can be rebuilt.

>>> import bat
>>> frontend = bat.frontend("bat")               # waveform [B, samples] -> [B, 1, T, F]
>>> encoder = bat.load_encoder("bat-mini/early") # doctest: +SKIP
>>> tokens = encoder(frontend(waveform))         # doctest: +SKIP
>>> probe = bat.probes.build("cgp", depth=3, width=192, classes=9, prototypes=64)
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded when first used: torch and timm take seconds, and the workflow needs neither.
_PUBLIC = {
    "frontend": ("bat.audio.frontends", "build"),
    "load_encoder": ("bat.models.checkpoint", "load_encoder"),
    "probes": ("bat.probes", None),
    "Tokens": ("bat.models.tokens", "Tokens"),
}
__all__ = ["Tokens", "frontend", "load_encoder", "probes"]

# Puts a finder around torchaudio, torchvision and timm, which acts when these are imported.
importlib.import_module("bat.compat")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bat' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    loaded = importlib.import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)
