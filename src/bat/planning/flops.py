"""Floating-point operations of encoders, decoders and probes: two for each multiply-add.

Matrix products are counted; normalisations, activations and softmax are not (a few per cent).
A backward pass costs twice its forward pass.
"""

from bat.params.methods import Probe
from bat.params.models import AudioTransformer, Beats, Encoder, Pretraining
from bat.sizes import convex_gated_probe_macs

# Of encoders whose size only their own code knows: a ViT-B.
_WIDTH, _DEPTH = 768, 12
TRAINING = 3


def width_of(encoder: Encoder) -> int:
    """Return the width of an encoder's tokens."""
    return encoder.width if isinstance(encoder, AudioTransformer | Beats) else _WIDTH


def depth_of(encoder: Encoder) -> int:
    """Return the number of blocks of an encoder."""
    return encoder.depth or _DEPTH


def encoder_flop(encoder: Encoder, tokens: int) -> float:
    """Count the forward pass of an encoder over one clip.

    Parameters
    ----------
    tokens
        Patches that it sees, and CLS.
    """
    width = width_of(encoder)
    ratio = getattr(encoder, "mlp_ratio", 4.0)
    return transformer_flop(width=width, depth=depth_of(encoder), tokens=tokens, mlp_ratio=ratio)


def transformer_flop(*, width: int, depth: int, tokens: int, mlp_ratio: float) -> float:
    """Count projections, attention and MLP of all blocks."""
    projections = (4 + 2 * mlp_ratio) * tokens * width**2
    attention = 2 * tokens**2 * width
    return 2 * depth * (projections + attention)


def decoder_flop(pretraining: Pretraining, *, width: int, patches: int) -> float:
    """Count the forward pass of a pretraining decoder over one view of a clip."""
    decoder = pretraining.decoder
    if decoder.kind == "vit":
        inner = transformer_flop(
            width=decoder.width, depth=decoder.depth, tokens=patches, mlp_ratio=decoder.mlp_ratio
        )
        return inner + 4 * patches * width * decoder.width
    convolutions = decoder.depth * patches * 9 * width**2 / decoder.groups
    return 2 * (convolutions + patches * width**2)


def pretraining_flop(encoder: Encoder, pretraining: Pretraining, *, patches: int) -> float:
    """Count one clip of one training step: the teacher once, student and decoder for each view."""
    visible = round(patches * (1 - pretraining.mask_ratio)) + 1
    view = encoder_flop(encoder, visible)
    view += decoder_flop(pretraining, width=width_of(encoder), patches=patches)
    return encoder_flop(encoder, patches + 1) + TRAINING * pretraining.views * view


def probe_flop(probe: Probe, encoder: Encoder, *, tokens: int, classes: int) -> float:
    """Count the forward pass of a probe over one clip's tokens, its encoder not included."""
    width, depth = width_of(encoder), depth_of(encoder)
    if probe.kind in ("cgp", "protobin"):
        # the gate sums the tokens of all blocks
        macs = convex_gated_probe_macs(
            classes=classes, prototypes=probe.prototypes, tokens=tokens, width=width
        )
        return 2.0 * (macs + depth * tokens * width)
    if probe.kind == "asr":
        return 2.0 * tokens * (width * probe.hidden * 4 + 8 * probe.hidden**2)
    return 2.0 * depth * width * (classes + tokens)


def parameters_of(encoder: Encoder) -> float:
    """Count an encoder's parameters, but for embeddings."""
    ratio = getattr(encoder, "mlp_ratio", 4.0)
    return depth_of(encoder) * (4 + 2 * ratio) * width_of(encoder) ** 2
