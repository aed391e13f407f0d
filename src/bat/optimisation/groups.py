"""Parameter groups: who decays, and how fast each layer learns."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

ParameterGroup = dict[str, Any]
NamedParameters = Iterable[tuple[str, nn.Parameter]]

# Learned inputs and mixing weights of the probes: shrinking them has no meaning.
_PROBE_NEVER_DECAYED = {"block_attention", "prototype_vectors", "vqt"}
# Learned inputs and positions of the encoders, BEATs's table of relative ones among them.
_ENCODER_NEVER_DECAYED = {
    "cls_token",
    "dist_token",
    "reg_token",
    "pos_embed",
    "relative_attention_bias",
}
# An encoder may keep a foreign model under one of these names.
_WRAPPER = r"(?:model\.|encoder\.)?"
# Blocks of this project and of timm, and of BEATs.
_BLOCK = re.compile(_WRAPPER + r"(?:blocks|encoder\.layers)\.(\d+)\.")
# What comes before the first block, except the norm right before it.
_INPUT = re.compile(
    _WRAPPER + r"(?:cls_token|dist_token|reg_token|pos_embed|patch_embed|"
    r"patch_embedding|post_extract_proj|pos_conv)(?:\.|$)"
    # BEATs's norm of the patches; its "encoder.layer_norm" comes right before the blocks.
    r"|layer_norm\."
)


def probe_groups(probe: nn.Module, *, weight_decay: float) -> list[ParameterGroup]:
    """Split a probe's parameters into decayed and undecayed ones.

    Gate, prototypes, queries and one-dimensional parameters are not decayed.

    Returns
    -------
    list of dict
        Groups for a torch optimiser; empty ones are left out.
    """

    def decayed(name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim > 1 and name.rpartition(".")[2] not in _PROBE_NEVER_DECAYED

    trained = [(n, p) for n, p in probe.named_parameters() if p.requires_grad]
    groups: list[ParameterGroup] = [
        {"params": [p for n, p in trained if decayed(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in trained if not decayed(n, p)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def layer_index(name: str, depth: int) -> int:
    """Place of a parameter in the layer-wise decay.

    Parameters
    ----------
    name : str
        In an `AudioTransformer`, `BeatsEncoder` or `TimmEncoder`, or in a module that names its
        parameters like one of them.
    depth : int
        Number of encoder blocks.

    Returns
    -------
    int
        0 for CLS token (and timm's distillation and register tokens), positions and patch
        embedding, in BEATs with its norm, projection and convolutional positions; k+1 for
        block k; depth+1 for everything else: the norm right before the first block, a norm after
        the last, the head, unknown names.
    """
    block = _BLOCK.match(name)
    if block:
        return int(block[1]) + 1
    return 0 if _INPUT.match(name) else depth + 1


def layer_decay_groups(
    named_parameters: NamedParameters, *, depth: int, layer_decay: float, weight_decay: float
) -> list[ParameterGroup]:
    """Group parameters for fine-tuning with layer-wise learning-rate decay.

    Parameters
    ----------
    named_parameters : iterable of (str, Parameter)
        The encoder's under their own names and the head's under any other prefix, e.g.
        ``[*encoder.named_parameters(), *head.named_parameters(prefix="head")]``.
    depth : int
        Number of encoder blocks.
    layer_decay : float
        Ratio of the learning rates of neighbouring layers.
    weight_decay : float
        Not applied to one-dimensional parameters, CLS token and positions (BEATs's table of
        relative positions too; its positional convolution is decayed as a convolution).

    Returns
    -------
    list of dict
        Groups with ``params``, ``names``, ``weight_decay`` and ``lr_scale``
        (``layer_decay ** (depth + 1 - layer_index)``); see ``set_learning_rate``.
    """
    groups: dict[tuple[int, float], ParameterGroup] = {}
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        layer = layer_index(name, depth)
        undecayed = parameter.ndim == 1 or not _ENCODER_NEVER_DECAYED.isdisjoint(name.split("."))
        decay = 0.0 if undecayed else weight_decay
        scale = layer_decay ** (depth + 1 - layer)
        group = groups.setdefault(
            (layer, decay), {"params": [], "names": [], "weight_decay": decay, "lr_scale": scale}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())
