"""BAT's encoders in timm's registry.

>>> import bat, timm                                         # doctest: +SKIP
>>> encoder = timm.create_model("bat_base_patch16")          # doctest: +SKIP
>>> encoder(torch.rand(2, 1, 1024, 128)).cls.shape           # doctest: +SKIP
torch.Size([12, 2, 768])

``create_model`` gives an ``AudioTransformer`` with new weights, not a classifier: it maps a
spectrogram [B, 1, time, mel] to the ``Tokens`` of every block. Keyword arguments are timm's
``drop_path_rate`` and those of ``AudioTransformer``, e.g. ``gated=False``.

Importing this module registers the names; ``bat.compat`` does so as soon as timm is imported.
"""

from typing import TYPE_CHECKING, Any

from timm.models import register_model

from bat.errors import BatError

if TYPE_CHECKING:
    from bat.models.base import Encoder

__all__ = ["bat_base_patch16", "bat_large_patch16", "bat_small_patch16"]

# timm hands these to every model; they concern its own store of weights.
_TIMM_ARGUMENTS = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def _create(size: str, pretrained: bool, drop_path: float, arguments: dict[str, Any]) -> "Encoder":
    # Imported here: the encoder's own modules import timm, and with it this one.
    from bat.models.encoder import VIT_SIZES
    from bat.models.registry import build_encoder

    if pretrained:
        raise BatError(
            "timm holds no weights of BAT: expected pretrained=False, found True; read a file "
            "with bat.models.weights.read_weights and load it with load_strict"
        )
    own = {name: value for name, value in arguments.items() if name not in _TIMM_ARGUMENTS}
    vit = VIT_SIZES[size]
    sizes = {"width": vit.width, "depth": vit.depth, "heads": vit.heads, "patch_size": 16}
    return build_encoder(sizes | own, drop_path=drop_path)


@register_model
def bat_small_patch16(
    pretrained: bool = False, drop_path_rate: float = 0.0, **arguments: Any
) -> "Encoder":
    """Create the audio transformer of size S: width 384, 12 blocks, 6 heads."""
    return _create("S", pretrained, drop_path_rate, arguments)


@register_model
def bat_base_patch16(
    pretrained: bool = False, drop_path_rate: float = 0.0, **arguments: Any
) -> "Encoder":
    """Create the audio transformer of size B: width 768, 12 blocks, 12 heads."""
    return _create("B", pretrained, drop_path_rate, arguments)


@register_model
def bat_large_patch16(
    pretrained: bool = False, drop_path_rate: float = 0.0, **arguments: Any
) -> "Encoder":
    """Create the audio transformer of size L: width 1024, 24 blocks, 16 heads."""
    return _create("L", pretrained, drop_path_rate, arguments)
