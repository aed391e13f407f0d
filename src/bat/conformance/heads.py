"""Heads: tokens of a frozen encoder in, logits out; and the probe that asks a live encoder."""

from collections.abc import Iterator
from typing import Any

import torch

from bat.conformance.case import GoldenCase, member
from bat.conformance.checks import FORWARD, SCALAR, Check, gradients, input_gradients, relative
from bat.conformance.encoders import build_transformer, load
from bat.errors import BatError
from bat.models.tokens import Tokens
from bat.probes import build
from bat.probes.vqt import VisualQueryProbe

PROBES = {"linear": "lp", "lcgp": "lcgp", "cgp": "cgp", "h2t": "head2toe"}
POOLINGS: dict[str, dict[str, Any]] = {
    "cls": {"pooling": "cls"},
    "avg": {"pooling": "mean"},
    "frame": {"pooling": "mean", "frame_wise": True},
}


def probe(case: GoldenCase) -> Iterator[Check]:
    """Compare logits, gradients under a cotangent, and a group lasso of weight one."""
    state = case.below("state.")
    inputs = {
        name: case.tensor(name).detach().clone().requires_grad_()
        for name in ("cls_tokens", "patch_tokens")
    }
    tokens = Tokens(cls=inputs["cls_tokens"], patches=inputs["patch_tokens"])
    name, options = probe_of(case.name)
    if "prototype_vectors" in state:
        options["prototypes"] = len(state["prototype_vectors"])
    depth, _, width = tokens.cls.shape
    classes = len(member(state, "fc.bias"))
    head = load(build(name, depth=depth, width=width, classes=classes, **options), state)
    logits = head(tokens)
    yield relative("logits", logits, case.tensor("logits"), FORWARD)
    logits.backward(case.tensor("cotangent"))
    yield from gradients(case, head)
    yield from input_gradients(case, inputs)
    if name == "head2toe":
        penalty, expected = head.penalty(), case.tensor("group_lasso_penalty")
        yield relative("group_lasso_penalty", penalty.view_as(expected), expected, SCALAR)


def probe_of(case_name: str) -> tuple[str, dict[str, Any]]:
    """Return the probe and its options that ``head_{kind}_{pooling}`` stands for.

    Binary prototypes have no pooling but their maximum: ``head_protobin[_frame]``.
    """
    _, kind, *pooling = case_name.split("_")
    if kind == "protobin" and pooling in ([], ["frame"]):
        return "protobin", {"frame_wise": bool(pooling)}
    if kind not in PROBES or len(pooling) != 1 or pooling[0] not in POOLINGS:
        raise BatError(
            f"expected head_protobin, head_protobin_frame or head_KIND_POOLING of "
            f"{', '.join(PROBES)} and {', '.join(POOLINGS)}, found {case_name}"
        )
    lasso = {"lasso": 1.0} if kind == "h2t" else {}
    return PROBES[kind], POOLINGS[pooling[0]] | lasso


def visual_queries(case: GoldenCase) -> Iterator[Check]:
    """Compare the logits of visual query tuning."""
    state, spectrogram = case.below("state."), case.tensor("spectrogram")
    asked = {name: value for name, value in state.items() if name.split(".")[0] in ("vqt", "head")}
    encoder = build_transformer(
        {name: value for name, value in state.items() if name not in asked},
        heads=case.setting("num_heads"),
        mel_bins=spectrogram.shape[-1],
    )
    head = VisualQueryProbe(
        encoder,
        classes=len(member(state, "head.1.bias")),
        queries=member(state, "vqt").shape[1],
        head_norm="head.0.weight" in state,
    )
    names = {name: name if name in asked else f"encoder.{name}" for name in state}
    load(head, {names[name]: value for name, value in state.items()})
    with torch.no_grad():
        yield relative("logits", head(spectrogram), case.tensor("logits"), FORWARD)
