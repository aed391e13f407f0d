"""Encoders by name: from the description of an architecture to the module."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bat.errors import BatError
from bat.models.adapter import load_adapter
from bat.models.base import Encoder
from bat.models.beats import BeatsEncoder
from bat.models.encoder import AudioTransformer
from bat.models.timm_encoder import TimmEncoder

DEFAULT_KIND = "audio-transformer"
ENCODERS: dict[str, Callable[..., Encoder]] = {
    DEFAULT_KIND: AudioTransformer,
    "beats": BeatsEncoder,
    "timm": TimmEncoder,
    "adapter": load_adapter,
}


def build_encoder(architecture: Mapping[str, Any], *, drop_path: float = 0.0) -> Encoder:
    """Build an encoder with new weights.

    Parameters
    ----------
    architecture : mapping
        ``kind``, one of ``audio-transformer`` (where there is none), ``beats``, ``timm`` and
        ``adapter``, and the keyword arguments of that class or function without ``drop_path``.
    drop_path : float
        Stochastic depth of the last block, for fine-tuning.

    Returns
    -------
    Encoder
        In training mode, as torch builds modules.

    Raises
    ------
    BatError
        If the kind is unknown, an argument is missing or unknown, or the encoder refuses them.

    Notes
    -----
    Weights are initialised from torch's global random generator: seed it first.
    """
    arguments = dict(architecture)
    kind = arguments.pop("kind", DEFAULT_KIND)
    if kind not in ENCODERS:
        raise BatError(f"encoder: expected a kind of {', '.join(ENCODERS)}, found {kind!r}")
    build = ENCODERS[kind]
    try:
        inspect.signature(build).bind(**arguments, drop_path=drop_path)
    except TypeError as error:
        known = [name for name in inspect.signature(build).parameters if name != "drop_path"]
        raise BatError(f"encoder {kind}: {error}; its arguments are {', '.join(known)}") from error
    return build(**arguments, drop_path=drop_path)
