"""One whole pretraining step: predictions, targets, losses, gradients and what the step moves."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from bat.conformance.case import GoldenCase, member
from bat.conformance.checks import (
    FORWARD,
    SCALAR,
    Check,
    absolute,
    difference,
    gradients,
    relative,
    same_names,
)
from bat.conformance.encoders import blocks, build_transformer, gated, load, mlp_ratio
from bat.models.decoders import ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.pretraining.objective import regression_targets
from bat.pretraining.step import Student, pretraining_step, teacher_of

# Relative error of how far a step moved a parameter. AdamW divides a gradient by its own magnitude:
# where that is rounding noise, so is the move.
MOVE = 1e-2


def step(case: GoldenCase) -> Iterator[Check]:
    """Compare one step on given masks, before, in and after it."""
    before = {name: case.below(f"{name}.") for name in ("student", "teacher.encoder")}
    student, teacher = _pair(case, before["student"], before["teacher.encoder"])
    keep_Rn = case.tensor("ids_keep_sorted")
    keep_BVn = keep_Rn.view(-1, case.setting("views"), keep_Rn.shape[1])
    yield _masks(case.tensor("mask"), keep_BVn)
    yield from _predictions(case, student, teacher, keep_BVn)
    losses = pretraining_step(
        student,
        teacher,
        _optimizer(student, case.metadata),
        case.tensor("spectrogram"),
        keep_BVn,
        ema_decay=case.setting("ema_decay"),
    )
    yield _scalar(case, "global_loss", losses.global_loss)
    yield _scalar(case, "local_loss", losses.local_loss)
    yield from gradients(case, student)
    for name, module in (("student", student), ("teacher.encoder", teacher)):
        after = module.state_dict(), case.below(f"after.{name}.")
        yield from _moved(name, before[name], *after, lr=case.setting("lr"))


def _pair(
    case: GoldenCase, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
) -> tuple[Student, AudioTransformer]:
    heads = case.setting("num_heads")
    encoder = build_transformer(teacher, heads=heads, mel_bins=case.tensor("spectrogram").shape[-1])
    of_decoder = {
        name.removeprefix("decoder."): value
        for name, value in student.items()
        if name.startswith("decoder.")
    }
    inner = member(of_decoder, "mask_token").shape[-1]
    decoder = ViTDecoder(
        width=encoder.width,
        depth=blocks(of_decoder),
        heads=case.metadata.get("decoder_num_heads", heads),
        mlp_ratio=mlp_ratio(of_decoder, inner),
        grid=(encoder.grid_time_patches, encoder.frequency_patches),
        gated=gated(of_decoder),
        decoder_width=inner,
    )
    pair = load(Student(encoder, decoder), student), load(teacher_of(encoder), teacher)
    pair[0].train()
    return pair


def _optimizer(student: Student, metadata: Mapping[str, Any]) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        student.parameters(),
        lr=member(metadata, "lr"),
        betas=tuple(member(metadata, "betas")),
        weight_decay=member(metadata, "weight_decay"),
        fused=True,
    )


def _masks(removed_RN: Tensor, keep_BVn: Tensor) -> Check:
    """Compare the mask, 1 where a patch is removed, with the patches that are kept."""
    found = torch.ones_like(removed_RN).scatter(1, keep_BVn.flatten(0, 1), 0.0)
    return absolute("mask", found, removed_RN, 0.0)


@torch.no_grad()
def _predictions(
    case: GoldenCase, student: Student, teacher: AudioTransformer, keep_BVn: Tensor
) -> list[Check]:
    spectrogram = case.tensor("spectrogram")
    target = regression_targets(teacher.block_outputs(spectrogram))
    cls, patches = student(spectrogram, keep_BVn)
    return [
        relative("target", target, case.tensor("target"), FORWARD),
        relative("cls_prediction", cls.flatten(0, 1), case.tensor("cls_prediction"), FORWARD),
        relative(
            "patch_prediction", patches.flatten(0, 1), case.tensor("patch_prediction"), FORWARD
        ),
    ]


def _scalar(case: GoldenCase, name: str, found: Tensor) -> Check:
    expected = case.tensor(name)
    return relative(name, found.view_as(expected), expected, SCALAR)


def _moved(
    owner: str,
    before: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    lr: float,
) -> Iterator[Check]:
    """Compare parameters after the step by how far it moved them.

    A key's bias shifts all scores of a query alike: its true gradient is zero, the computed one
    rounding noise, which the first step of AdamW scales up to the learning rate. All that can be
    asked of it is that the step moved it no further than that.
    """
    same_names(f"after.{owner}.", found, expected)
    for name, start in before.items():
        what = f"after.{owner}.{name}"
        if not name.endswith("attn.qkv.bias"):
            yield _move(what, start, found[name], expected[name])
            continue
        tensors = [tensor.view(3, -1) for tensor in (start, found[name], expected[name])]
        yield _move(what, *(tensor[[0, 2]] for tensor in tensors))
        beyond = (tensors[1][1] - tensors[2][1]).abs().amax() - 2 * lr
        yield absolute(f"{what} (keys)", beyond.clamp(min=0.0), torch.zeros(()), FORWARD)


def _move(what: str, before: Tensor, found: Tensor, expected: Tensor) -> Check:
    """Compare moves by their relative error, less what float32 rounding of the result explains."""
    wanted = float(difference(what, before, expected).norm())
    if wanted == 0:
        return relative(what, found, expected, FORWARD)
    rounding = torch.finfo(torch.float32).eps * float(expected.double().norm())
    apart = float(difference(what, found, expected).norm())
    # Not max(0, ...), which would turn "not a number" into zero.
    beyond = apart - rounding if not apart <= rounding else 0.0
    return Check(what=what, error=beyond / wanted, tolerance=MOVE)
