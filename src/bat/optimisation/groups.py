"""Parameter groups: who decays, and how fast each layer learns."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

ParameterGroup = dict[str, Any]
NamedParameters = Iterable[tuple[str, nn.Parameter]]

# Learned inputs and mixing weights of the probes: shrinking them has no meaning.
_PROBE_NEVER_DECAYED = {"block_attention", "prototype_vectors", "vqt"}
_ENCODER_NEVER_DECAYED = {"cls_token", "pos_embed"}


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

    0 for CLS token, positions and patch embedding; k+1 for block k; depth+1 for everything else
    (``pre_norm`` and the head).
    """
    if name.partition(".")[0] in {"cls_token", "pos_embed", "patch_embed"}:
        return 0
    block = re.match(r"blocks\.(\d+)\.", name)
    return int(block[1]) + 1 if block else depth + 1


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
        Not applied to one-dimensional parameters, CLS token and positions.

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
        undecayed = parameter.ndim == 1 or name in _ENCODER_NEVER_DECAYED
        decay = 0.0 if undecayed else weight_decay
        scale = layer_decay ** (depth + 1 - layer)
        group = groups.setdefault(
            (layer, decay), {"params": [], "names": [], "weight_decay": decay, "lr_scale": scale}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())
