"""Schedules of learning rate and teacher decay, and the groups of layer-wise decay."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from bat.conformance.case import member, refuse_unknown
from bat.conformance.checks import Check, scalar
from bat.conformance.encoders import blocks, gated
from bat.errors import BatError
from bat.models.encoder import AudioTransformer
from bat.optimisation.groups import layer_decay_groups
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.probes import build

TOLERANCE = 1e-9
# Widths do not enter the layer-wise decay: the smallest encoder that can be built.
WIDTH, HEADS, CLASSES = 8, 2, 2
LAYER_DECAY = "layer_decay_"


def schedules(content: Mapping[str, Any]) -> Iterator[Check]:
    """Compare rates, decays and parameter groups with those of the reference."""
    layer_decays = {name for name in content if name.startswith(LAYER_DECAY)}
    refuse_unknown(content, {"lr", "ema_decay_at_call", "depth", "settings"} | layer_decays)
    for name, rates in member(content, "lr").items():
        yield from _rates(name, rates, member(content, "settings", name))
    yield from _decays(content)
    for name in sorted(layer_decays):
        yield from _groups(name, content)


def _rates(name: str, rates: Mapping[str, float], settings: Mapping[str, float]) -> Iterator[Check]:
    """Compare the rate of a parameter group in force after so many steps."""
    group = {"params": [torch.nn.Parameter(torch.zeros(1))]}
    group["lr_scale"] = member(settings, "lr_scale")
    optimizer = torch.optim.SGD([group])
    for step, expected in rates.items():
        rate = learning_rate(
            int(step),
            peak=member(settings, "lr"),
            floor=member(settings, "min_lr"),
            warmup_steps=member(settings, "warmup_steps"),
            steps=member(settings, "total_steps"),
        )
        set_learning_rate(optimizer, rate)
        yield scalar(f"lr.{name}.{step}", optimizer.param_groups[0]["lr"], expected, TOLERANCE)


def _decays(content: Mapping[str, Any]) -> Iterator[Check]:
    """Compare the teacher's decay at each call, counted from one."""
    settings = member(content, "settings", "ema")
    for step, expected in member(content, "ema_decay_at_call").items():
        found = ema_decay(
            int(step),
            start=member(settings, "start"),
            end=member(settings, "end"),
            warmup_steps=member(settings, "warmup_steps"),
        )
        yield scalar(f"ema_decay_at_call.{step}", found, expected, _decay_tolerance(expected))


def _decay_tolerance(expected: float) -> float:
    """Return the usual tolerance, or a unit in the last place of a decay kept in float32.

    The reference's ramp lives in float32, and how its sums are ordered decides the last bit.
    """
    single = torch.tensor(expected, dtype=torch.float32)
    if single.item() != expected:
        return TOLERANCE
    unit = torch.nextafter(single, torch.tensor(2.0)) - single
    return max(TOLERANCE, 1.01 * unit.item() / expected)


def _groups(name: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Compare each parameter's scale of the learning rate and its weight decay."""
    expected: dict[str, list[float]] = member(content, name)
    depth = member(content, "depth")
    if depth != (found_depth := blocks(expected)):
        raise BatError(f"{name}: expected {depth} blocks, found {found_depth}")
    encoder = AudioTransformer(width=WIDTH, depth=depth, heads=HEADS, gated=gated(expected))
    head = build("lp", depth=depth, width=WIDTH, classes=CLASSES)
    groups = layer_decay_groups(
        [*encoder.named_parameters(), *head.named_parameters(prefix="head")],
        depth=depth,
        layer_decay=float(name.removeprefix(LAYER_DECAY)),
        weight_decay=member(content, "settings", "layer_decay", "weight_decay"),
    )
    found = {parameter: group for group in groups for parameter in group["names"]}
    if apart := sorted(found.keys() ^ expected.keys()):
        raise BatError(f"{name}: not on both sides: {', '.join(apart)}")
    for parameter, (scale, decay) in expected.items():
        what, group = f"{name}.{parameter}", found[parameter]
        yield scalar(f"{what} (scale)", group["lr_scale"], scale, TOLERANCE)
        yield scalar(f"{what} (decay)", group["weight_decay"], decay, TOLERANCE)
