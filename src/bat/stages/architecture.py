"""From the settings of an encoder to the description that builds it."""

from typing import Any

from bat.errors import BatError
from bat.models.base import Encoder as EncoderModule
from bat.models.registry import build_encoder
from bat.params.models import Adapter, AudioTransformer, Encoder, Timm

# What a foreign encoder says of itself; the parameters only repeat it.
_FOUND_OUT = ("depth", "patch_size")


def architecture_of(encoder: Encoder, *, mel_bins: int, time_patches: int) -> dict[str, Any]:
    """Describe an encoder for inputs of some size; see ``build_encoder``.

    Parameters
    ----------
    time_patches
        Length of the position grid, unless the settings have their own.
    """
    if isinstance(encoder, Timm | Adapter):
        settings = encoder.model_dump(exclude={*_FOUND_OUT})
        settings |= {"time_patches": time_patches, "mel_bins": mel_bins}
        if isinstance(encoder, Adapter):
            settings["spec"] = settings.pop("factory")
        return settings
    settings = encoder.model_dump()
    if isinstance(encoder, AudioTransformer):
        settings["grid_time_patches"] = settings.pop("time_patches") or time_patches
        settings["mel_bins"] = mel_bins
    return settings


def build(encoder: Encoder, architecture: dict[str, Any]) -> EncoderModule:
    """Build an encoder and check that it is as the parameters say.

    Raises
    ------
    BatError
        If it has another depth, so that figures per block would miss some, or another patch size,
        so that its input would not be whole patches.
    """
    built = build_encoder(architecture)
    for name in _FOUND_OUT:
        stated, found = getattr(encoder, name, None), getattr(built, name)
        if stated is not None and stated != found:
            raise BatError(
                f"encoder of kind {encoder.kind}: the parameters say {name} {stated}, found {found}"
            )
    return built
