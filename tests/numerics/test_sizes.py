import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bat.models.tokens import Tokens
from bat.probes import build
from bat.sizes import convex_gated_probe_macs, parameter_report


@pytest.fixture(scope="module")
def sizes():
    return {size.name: size.parameters for size in parameter_report()}


@pytest.mark.parametrize(
    ("name", "parameters"), [("CGP", 23_490_539), ("ProtoBin", 12_950_527), ("VQT", 49_065_743)]
)
def test_probes_have_the_papers_number_of_parameters(sizes, name, parameters):
    assert sizes[name] == parameters


@pytest.mark.parametrize(
    ("name", "millions"), [("ViT-B", 92.73), ("ViT-B student with decoder", 139.79)]
)
def test_the_base_encoder_and_student_have_the_papers_number_of_parameters(sizes, name, millions):
    assert round(sizes[name] / 1e6, 2) == millions


@pytest.mark.parametrize(("name", "width", "depth"), [("ViT-S", 384, 12), ("ViT-L", 1024, 24)])
def test_the_other_encoders_have_the_parameters_of_their_shape(sizes, name, width, depth):
    norm = 2 * width
    attention = 5 * width * (width + 1)  # queries, keys, values, gate, projection
    mlp = 8 * width * width + 5 * width
    patches = (16 * 16 + 1) * width
    cls_and_positions = (1 + 512) * width
    assert sizes[name] == (
        depth * (attention + mlp + 2 * norm) + patches + cls_and_positions + norm
    )


def test_the_linear_probes_and_the_speech_probe_have_the_parameters_of_their_layers(sizes):
    linear = 768 * 527 + 527
    assert sizes["LP"] == 2 * 768 + linear
    assert sizes["LCGP"] == 12 + 2 * 768 + linear
    assert sizes["Head2Toe"] == 2 * 12 * 768 + 12 * 768 * 527 + 527
    lstm = 2 * 4 * 512 * (768 + 512 + 2) + 2 * 4 * 512 * (1024 + 512 + 2)
    assert sizes["ASR"] == 12 + 8 * 768 * 768 + 768 + lstm + 2048 + 1024 * 29 + 29


def test_more_classes_cost_what_the_linear_layers_cost():
    fewer = {size.name: size.parameters for size in parameter_report(10)}
    more = {size.name: size.parameters for size in parameter_report(11)}
    grown = {name: more[name] - fewer[name] for name in more if more[name] != fewer[name]}
    assert grown == {
        "LP": 769,
        "LCGP": 769,
        "CGP": 30_001,
        "ProtoBin": 10_001,
        "Head2Toe": 12 * 768 + 1,
        "VQT": 121 * 768 + 1,
    }


def test_cgp_has_the_papers_multiply_accumulates():
    assert round(convex_gated_probe_macs() / 1e9, 3) == 3.956


def test_multiply_accumulates_are_half_the_operations_that_torch_counts():
    probe = build("cgp", depth=2, width=8, classes=3, prototypes=20).eval()
    tokens = Tokens(cls=torch.randn(2, 1, 8), patches=torch.randn(2, 1, 8, 5, 2))
    with FlopCounterMode(display=False) as counter:
        probe(tokens)
    expected = convex_gated_probe_macs(classes=3, prototypes=20, tokens=11, width=8)
    assert counter.get_total_flops() == 2 * expected
