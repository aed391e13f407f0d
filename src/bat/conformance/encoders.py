"""Encoders: spectrogram in, tokens of every block out."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from bat.conformance.case import GoldenCase, member
from bat.conformance.checks import FORWARD, Check, relative
from bat.errors import BatError
from bat.models.beats import BeatsEncoder
from bat.models.encoder import AudioTransformer
from bat.models.weights import load_strict

# Relative error of a position table: float32 rounds the angles of its last rows the most.
POSITIONS = 1e-4

Module = TypeVar("Module", bound=nn.Module)


def transformer_tokens(case: GoldenCase) -> Iterator[Check]:
    """Compare an audio transformer's tokens, and its position table with the one built here."""
    state, spectrogram = case.below("state."), case.tensor("spectrogram")
    encoder = build_transformer(
        state, heads=case.setting("num_heads"), mel_bins=spectrogram.shape[-1]
    )
    yield relative("state.pos_embed", encoder.pos_embed, state["pos_embed"], POSITIONS)
    yield from _tokens(case, load(encoder, state), spectrogram)


def beats_tokens(case: GoldenCase) -> Iterator[Check]:
    """Compare a BEATs encoder's tokens."""
    state, spectrogram = case.below("state."), case.tensor("spectrogram")
    projection: Tensor = member(state, "post_extract_proj.weight")
    kernel: Tensor = member(state, "encoder.pos_conv.0.weight_v")
    biases: Tensor = member(state, "encoder.layers.0.self_attn.relative_attention_bias.weight")
    encoder = BeatsEncoder(
        width=projection.shape[0],
        depth=blocks(state, r"encoder\.layers"),
        heads=biases.shape[1],
        mlp_width=member(state, "encoder.layers.0.fc1.weight").shape[0],
        patch_width=projection.shape[1],
        patch_size=member(state, "patch_embedding.weight").shape[-1],
        mel_bins=spectrogram.shape[-1],
        position_kernel=kernel.shape[2],
        position_groups=projection.shape[0] // kernel.shape[1],
        buckets=biases.shape[0],
        maximum_distance=case.setting("max_distance"),
    )
    yield from _tokens(case, load(encoder, state), spectrogram)


def build_transformer(
    state: Mapping[str, Tensor], *, heads: int, mel_bins: int
) -> AudioTransformer:
    """Build an audio transformer of the shape that its weights have, with weights of its own."""
    projection: Tensor = member(state, "patch_embed.proj.weight")
    width, patch_size = projection.shape[0], projection.shape[-1]
    rows, frequency_patches = member(state, "pos_embed").shape[1], mel_bins // patch_size
    if not frequency_patches or rows % frequency_patches:
        raise BatError(
            f"pos_embed: {rows} rows are no whole number of columns of {frequency_patches} patches"
        )
    return AudioTransformer(
        width=width,
        depth=blocks(state),
        heads=heads,
        mlp_ratio=mlp_ratio(state, width),
        gated=gated(state),
        patch_size=patch_size,
        mel_bins=mel_bins,
        grid_time_patches=rows // frequency_patches,
    )


def blocks(names: Iterable[str], prefix: str = "blocks") -> int:
    """Return the number of transformer blocks: one more than the highest i of ``blocks.{i}.``."""
    matches = (re.match(rf"{prefix}\.(\d+)\.", name) for name in names)
    return max((int(match[1]) for match in matches if match), default=-1) + 1


def mlp_ratio(state: Mapping[str, Tensor], width: int) -> float:
    """Return a hidden width over ``width`` from which the hidden width is found again exactly."""
    hidden: int = member(state, "blocks.0.mlp.fc1.weight").shape[0]
    return (hidden + 0.5) / width  # rounded down where it is used


def gated(names: Iterable[str]) -> bool:
    """Return whether there are weights of a gate in the attention."""
    return any(".attn.gate." in name for name in names)


def load(module: Module, state: Mapping[str, Tensor]) -> Module:
    """Load all weights, none missing and none left over, and switch to evaluation mode."""
    load_strict(module, dict(state), "state")
    module.eval()
    return module


@torch.no_grad()
def _tokens(case: GoldenCase, encoder: nn.Module, spectrogram: Tensor) -> list[Check]:
    tokens = encoder(spectrogram)
    return [
        relative("cls_tokens", tokens.cls, case.tensor("cls_tokens"), FORWARD),
        relative("patch_tokens", tokens.patches, case.tensor("patch_tokens"), FORWARD),
    ]
