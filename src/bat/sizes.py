"""What encoders and probes cost: parameters and multiply-accumulates."""

from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bat import probes
from bat.models.decoders import ViTDecoder
from bat.models.encoder import VIT_SIZES, AudioTransformer
from bat.probes.vqt import VisualQueryProbe

# Classes of AudioSet; characters of the speech recognition probe, its blank included.
AUDIOSET_CLASSES = 527
CHARACTER_CLASSES = 29
# Tokens of ten seconds: 64 x 8 patches and CLS.
TOKENS_PER_CLIP = 64 * 8 + 1
PROTOTYPES = 10_000
# Probes on the tokens of a frozen encoder, with the options of the paper's settings.
TOKEN_PROBES = {
    "LP": ("lp", {}),
    "LCGP": ("lcgp", {}),
    "CGP": ("cgp", {"prototypes": PROTOTYPES}),
    "ProtoBin": ("protobin", {"prototypes": PROTOTYPES}),
    "Head2Toe": ("head2toe", {}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Number of parameters of a model or probe, fixed positions included."""

    name: str
    parameters: int


def parameter_report(classes: int = AUDIOSET_CLASSES) -> list[Size]:
    """Count the parameters of the paper's encoders and of its probes on ViT-B.

    Nothing is computed or held in memory: modules are built without values.

    Parameters
    ----------
    classes : int
        Classes of the probes; the speech recognition probe has 29 characters always.

    Returns
    -------
    list of Size
        Encoders ViT-S, B and L, the pretraining student of ViT-B (encoder and decoder), probes.
    """
    with torch.device("meta"):
        encoders = {size: _encoder(size) for size in VIT_SIZES}
        base = encoders["B"]
        shape = {"depth": base.depth, "width": base.width}
        rows = [Size(name=f"ViT-{size}", parameters=_count(e)) for size, e in encoders.items()]
        rows.append(
            Size(name="ViT-B student with decoder", parameters=_count(base) + _count(_decoder()))
        )
        for name, (kind, options) in TOKEN_PROBES.items():
            probe = probes.build(kind, classes=classes, **shape, **options)
            rows.append(Size(name=name, parameters=_count(probe)))
        asr = probes.build("asr", classes=CHARACTER_CLASSES, **shape)
        queries = VisualQueryProbe(base, classes=classes, queries=10)
    # Of the visual query probe the trained part: the encoder inside has its own row.
    trained = sum(p.numel() for p in queries.parameters() if p.requires_grad)
    rows.append(Size(name="VQT", parameters=trained))
    rows.append(Size(name="ASR", parameters=_count(asr)))
    return rows


def convex_gated_probe_macs(
    *,
    classes: int = AUDIOSET_CLASSES,
    prototypes: int = PROTOTYPES,
    tokens: int = TOKENS_PER_CLIP,
    width: int = VIT_SIZES["B"].width,
) -> int:
    """Count the multiply-accumulates of the convex gated probe on one clip.

    The matrix products are counted, as the paper does: similarities of all patches and CLS with
    all prototypes, ``(N+1)*D*K``, and the linear layer, ``3*K*C``; 3.956e9 by default. The sum
    over blocks (0.1 % more), normalisations, minima and maxima are not.

    Parameters
    ----------
    classes, prototypes, width : int
        Classes C, prototypes K, token width D.
    tokens : int
        Patches of a clip and its CLS token, N + 1.
    """
    return tokens * width * prototypes + 3 * prototypes * classes


def print_sizes(classes: int) -> None:
    """Print the parameters of encoders and probes, and the products of CGP on one clip."""
    table = Table("model or probe", title=f"{classes} classes, {PROTOTYPES:,} prototypes")
    table.add_column("parameters", justify="right")
    for size in parameter_report(classes):
        table.add_row(size.name, f"{size.parameters:,}")
    console = Console()
    console.print(table)
    macs = convex_gated_probe_macs(classes=classes)
    console.print(f"CGP: {macs / 1e9:.3f} GMAC per clip of ten seconds")


def _encoder(size: str) -> AudioTransformer:
    vit = VIT_SIZES[size]
    return AudioTransformer(width=vit.width, depth=vit.depth, heads=vit.heads)


def _decoder() -> ViTDecoder:
    return ViTDecoder(width=VIT_SIZES["B"].width, depth=6, heads=12, mlp_ratio=4.0, grid=(64, 8))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
