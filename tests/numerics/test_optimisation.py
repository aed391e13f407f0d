import json

import pytest
import torch

from bat.errors import BatError
from bat.models.encoder import AudioTransformer
from bat.optimisation.groups import layer_decay_groups, probe_groups
from bat.optimisation.losses import asymmetric_loss, loss_function
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.probes import build
from numerics.conformance import GOLDEN, load_case, relative_error

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


def test_gate_prototypes_and_vectors_of_a_probe_do_not_decay():
    probe = build("cgp", depth=3, width=8, classes=2, prototypes=5)
    decayed, undecayed = probe_groups(probe, weight_decay=0.1)
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in decayed["params"]] == [(2, 15)]
    assert {p.shape for p in undecayed["params"]} == {(3,), (5, 8, 1, 1), (2,)}


def test_asymmetric_loss_and_gradient_equal_the_reference():
    tensors, meta = load_case("asymmetric_loss")
    logits = tensors["logits"].requires_grad_()
    loss = asymmetric_loss(
        logits,
        tensors["targets"],
        gamma_negative=meta["gamma_neg"],
        gamma_positive=meta["gamma_pos"],
    )
    loss.backward()
    assert loss.item() == pytest.approx(tensors["loss"].item(), rel=1e-6)
    assert relative_error(logits.grad, tensors["grad"]) < 1e-5


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(BatError, match="asymmetric, binary_cross_entropy, cross_entropy"):
        loss_function("hinge")
