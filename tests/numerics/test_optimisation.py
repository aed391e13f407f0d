import json

import pytest
import torch

from bat.errors import BatError
from bat.models.beats import BeatsEncoder
from bat.models.encoder import AudioTransformer
from bat.optimisation.groups import layer_decay_groups, layer_index, probe_groups
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.probes import build
from numerics.conformance import GOLDEN

REFERENCE = json.loads((GOLDEN / "schedules.json").read_text())


@pytest.mark.parametrize("name", REFERENCE["lr"])
def test_learning_rates_equal_the_reference(name):
    settings = REFERENCE["settings"][name]
    optimizer = torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": settings["lr_scale"]}]
    )
    for step, expected in REFERENCE["lr"][name].items():
        rate = learning_rate(
            int(step),
            peak=settings["lr"],
            floor=settings["min_lr"],
            warmup_steps=settings["warmup_steps"],
            steps=settings["total_steps"],
        )
        set_learning_rate(optimizer, rate)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9)


def test_teacher_decays_equal_the_reference():
    settings = REFERENCE["settings"]["ema"]
    for step, expected in REFERENCE["ema_decay_at_call"].items():
        decay = ema_decay(
            int(step),
            start=settings["start"],
            end=settings["end"],
            warmup_steps=settings["warmup_steps"],
        )
        assert decay == pytest.approx(expected, abs=1e-9)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(BatError, match="warm-up of 10 steps does not fit in 10 steps"):
        learning_rate(0, peak=1.0, floor=0.0, warmup_steps=10, steps=10)


def test_layer_decay_groups_equal_the_reference():
    depth = REFERENCE["depth"]
    encoder = AudioTransformer(width=24, depth=depth, heads=3)
    head = build("lp", depth=depth, width=24, classes=7)
    groups = layer_decay_groups(
        [*encoder.named_parameters(), *head.named_parameters(prefix="head")],
        depth=depth,
        layer_decay=0.75,
        weight_decay=REFERENCE["settings"]["layer_decay"]["weight_decay"],
    )
    found = {
        name: [group["lr_scale"], group["weight_decay"]]
        for group in groups
        for name in group["names"]
    }
    assert found == REFERENCE["layer_decay_0.75"]
    torch.optim.AdamW(groups, lr=1e-3)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (0, ["cls_token", "pos_embed", "patch_embed.proj.weight"]),
        (1, ["blocks.0.attn.qkv.weight"]),
        (12, ["blocks.11.norm2.bias"]),
        (13, ["pre_norm.weight", "head.fc.weight"]),
        # BEATs: what makes the patches, then the norm before the blocks.
        (0, ["patch_embedding.weight", "layer_norm.bias", "post_extract_proj.weight"]),
        (0, ["encoder.pos_conv.0.weight_g"]),
        (1, ["encoder.layers.0.self_attn_layer_norm.weight"]),
        (12, ["encoder.layers.11.self_attn.grep_a"]),
        (13, ["encoder.layer_norm.weight"]),
        # timm's models, kept as "model", or another's, kept as "encoder".
        (0, ["model.cls_token", "model.reg_token", "model.dist_token", "dist_token"]),
        (0, ["model.patch_embed.proj.bias", "encoder.patch_embed.proj.bias"]),
        (11, ["model.blocks.10.mlp.fc1.weight", "encoder.blocks.10.mlp.fc1.weight"]),
        (13, ["model.norm.weight", "model.norm_pre.weight", "model.head.weight"]),
        # Unknown names, some of them nearly known.
        (13, ["frobnicate.weight", "stem.blocks.3.weight", "pos_embedding", "layer_norms.weight"]),
    ],
)
def test_every_encoders_parameters_have_their_place_in_the_layer_decay(layer, names):
    assert [layer_index(name, 12) for name in names] == [layer] * len(names)


def test_all_blocks_of_beats_learn_at_their_own_rates_and_its_position_table_does_not_decay():
    encoder = BeatsEncoder(
        width=16, depth=3, heads=2, mlp_width=32, patch_width=8, position_groups=4
    )
    groups = layer_decay_groups(
        encoder.named_parameters(), depth=3, layer_decay=0.5, weight_decay=0.1
    )
    found = {
        name: (group["lr_scale"], group["weight_decay"])
        for group in groups
        for name in group["names"]
    }
    assert found.keys() == dict(encoder.named_parameters()).keys()
    assert found["patch_embedding.weight"] == (0.5**4, 0.1)
    assert [found[f"encoder.layers.{i}.fc1.weight"] for i in range(3)] == [
        (0.125, 0.1),
        (0.25, 0.1),
        (0.5, 0.1),
    ]
    assert found["encoder.layers.0.self_attn.relative_attention_bias.weight"] == (0.125, 0.0)
    assert found["encoder.layer_norm.weight"] == (1.0, 0.0)


def test_prefix_tokens_and_positions_of_a_wrapped_model_do_not_decay():
    names = ["model.cls_token", "model.reg_token", "model.dist_token", "model.pos_embed"]
    groups = layer_decay_groups(
        [(name, torch.nn.Parameter(torch.zeros(1, 2, 8))) for name in names],
        depth=2,
        layer_decay=0.5,
        weight_decay=0.1,
    )
    assert [(g["names"], g["weight_decay"], g["lr_scale"]) for g in groups] == [(names, 0.0, 0.125)]


def test_frozen_parameters_are_in_no_group():
    frozen = torch.nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    named = [("cls_token", frozen), ("head.weight", torch.nn.Parameter(torch.zeros(2, 2)))]
    (group,) = layer_decay_groups(named, depth=2, layer_decay=0.5, weight_decay=0.1)
    assert group["names"] == ["head.weight"]


def test_gate_prototypes_and_vectors_of_a_probe_do_not_decay():
    probe = build("cgp", depth=3, width=8, classes=2, prototypes=5)
    decayed, undecayed = probe_groups(probe, weight_decay=0.1)
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in decayed["params"]] == [(2, 15)]
    assert {p.shape for p in undecayed["params"]} == {(3,), (5, 8, 1, 1), (2,)}
