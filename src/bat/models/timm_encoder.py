"""Vision transformers of timm as encoders of spectrograms."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import bat.compat  # noqa: F401  (makes timm importable beside a CPU-only torch)
from bat.errors import BatError
from bat.models.base import GridEncoder, frequency_patches
from bat.models.tokens import Tokens

# isort: split
import timm
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import VisionTransformer


class TimmEncoder(GridEncoder):
    """Plain vision transformer of timm, applied to spectrograms as images of one channel.

    Tokens are the outputs of the blocks, without timm's final norm and head. Register and
    distillation tokens take part in the attention but are not returned. Where the model has no
    CLS token, the mean over the patches of each block takes its place. An input shorter than the
    grid gets the positions of the grid's first time patches; a longer one is encoded in chunks.

    Parameters
    ----------
    name : str
        Name in timm, e.g. ``vit_tiny_patch16_224``.
    mel_bins : int
        Mel bins of the spectrogram, a multiple of the model's patch size.
    time_patches : int
        Time patches of the position grid.
    pretrained : bool
        Whether to load timm's weights, downloaded where they are not cached. The patch
        convolution's channels are summed and the positions resampled to the grid, both by timm.
    drop_path : float
        Stochastic depth of the last block; it grows linearly from zero at the first.

    Raises
    ------
    BatError
        If timm does not know the name, the model is not a plain vision transformer with square
        patches, its patches do not divide the mel bins, or its weights cannot be had.

    Notes
    -----
    Weights are initialised from torch's global random generator: seed it first.
    """

    def __init__(
        self,
        name: str,
        *,
        time_patches: int,
        mel_bins: int = 128,
        pretrained: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch_size = _patch_size(name)
        self.frequency_patches = frequency_patches(mel_bins=mel_bins, patch_size=self.patch_size)
        self.grid_time_patches = time_patches
        self.model = _create(
            name,
            pretrained=pretrained,
            in_chans=1,
            img_size=(time_patches * self.patch_size, mel_bins),
            num_classes=0,
            drop_path_rate=drop_path,
        )
        self.width, self.depth = self.model.embed_dim, len(self.model.blocks)

    def _encode_chunk(self, spectrogram: Tensor) -> Tokens:
        x = self._embed(spectrogram)
        outputs = []
        for block in self.model.blocks:
            x = block(x)
            outputs.append(x)
        tokens_LBND = torch.stack(outputs)
        patches_LBND = tokens_LBND[:, :, self.model.num_prefix_tokens :]
        has_cls = self.model.cls_token is not None
        return self._tokens(patches_LBND, cls_LBD=tokens_LBND[:, :, 0] if has_cls else None)

    def _embed(self, spectrogram: Tensor) -> Tensor:
        """Return prefix and patch tokens [B, P+N, D] as the first block receives them."""
        patches = spectrogram.shape[2] // self.patch_size
        missing = (self.grid_time_patches - patches) * self.patch_size
        # timm adds positions to whole grids only. The tokens of the padding go before attention.
        padded = F.pad(spectrogram, (0, 0, 0, missing))
        tokens = self.model._pos_embed(self.model.patch_embed(padded))
        kept = self.model.num_prefix_tokens + patches * self.frequency_patches
        embedded: Tensor = self.model.norm_pre(tokens[:, :kept])
        return embedded


def _patch_size(name: str) -> int:
    """Return the side of a model's patches, read off a model without memory."""
    with torch.device("meta"):
        height, width = _create(name).patch_embed.patch_size
    if height != width:
        raise BatError(f"timm model {name}: expected square patches, found {height}x{width}")
    return int(height)


def _create(name: str, **arguments: Any) -> VisionTransformer:
    """Create a model of timm that is a plain vision transformer."""
    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"{name[:6]}*")[:5]) or "none like it"
        raise BatError(f"timm knows no model {name!r}; it knows {similar}")
    try:
        model = timm.create_model(name, **arguments)
    except (RuntimeError, OSError) as error:
        raise BatError(f"timm model {name}: {' '.join(str(error).split())}") from error
    embedding = getattr(model, "patch_embed", None)
    if not isinstance(model, VisionTransformer) or type(embedding) is not PatchEmbed:
        raise BatError(
            f"timm model {name}: expected a VisionTransformer with PatchEmbed, "
            f"found {type(model).__name__} with {type(embedding).__name__}"
        )
    return model
