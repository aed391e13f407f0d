import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bat.errors import BatError
from bat.models.tokens import Tokens
from bat.probes import build, similarity
from bat.probes.similarity import largest, smallest_and_largest
from numerics.conformance import below, load_case, relative_error

MEAN, FRAME = {"pooling": "mean"}, {"pooling": "mean", "frame_wise": True}
CASES = {
    "head_linear_cls": ("lp", {}),
    "head_linear_avg": ("lp", MEAN),
    "head_linear_frame": ("lp", FRAME),
    "head_lcgp_cls": ("lcgp", {}),
    "head_lcgp_frame": ("lcgp", FRAME),
    "head_cgp_cls": ("cgp", {"prototypes": 20}),
    "head_cgp_avg": ("cgp", {"prototypes": 20, **MEAN}),
    "head_cgp_frame": ("cgp", {"prototypes": 20, **FRAME}),
    "head_protobin": ("protobin", {"prototypes": 20}),
    "head_protobin_frame": ("protobin", {"prototypes": 20, "frame_wise": True}),
    "head_h2t_cls": ("head2toe", {"lasso": 1.0}),
    "head_h2t_frame": ("head2toe", {"lasso": 1.0, **FRAME}),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients_equal_the_reference(case):
    tensors, meta = load_case(case)
    name, options = CASES[case]
    inputs = {k: tensors[k].requires_grad_() for k in ("cls_tokens", "patch_tokens")}
    probe = build(name, depth=3, width=24, classes=meta["num_classes"], **options).eval()
    probe.load_state_dict(below(tensors, "state."), strict=True)
    logits = probe(Tokens(cls=inputs["cls_tokens"], patches=inputs["patch_tokens"]))
    assert relative_error(logits, tensors["logits"]) < 1e-5
    logits.backward(tensors["cotangent"])
    parameters = dict(probe.named_parameters())
    for key, expected in below(tensors, "grad.").items():
        assert relative_error(parameters[key].grad, expected) < 1e-5, key
    for key, expected in below(tensors, "grad_input.").items():
        assert relative_error(inputs[key].grad, expected) < 1e-5, key
    if "group_lasso_penalty" in tensors:
        assert probe.penalty().item() == pytest.approx(
            tensors["group_lasso_penalty"].item(), rel=1e-6
        )


def plain_cgp(tokens: Tokens, gate: Tensor, prototypes: Tensor, weight: Tensor) -> Tensor:
    """The probe as it is defined, with all similarities kept."""
    weights = torch.softmax(gate, dim=0)
    cls = (weights[:, None, None] * F.normalize(tokens.cls, dim=-1)).sum(0)
    patches = F.normalize(tokens.patches.flatten(3), dim=2)
    patches = (weights[:, None, None, None] * patches).sum(0)
    unit = F.normalize(prototypes.flatten(1), dim=1)
    similarities = torch.einsum("kd,bdn->bkn", unit, patches)
    features = torch.stack([similarities.amin(2), cls @ unit.T, similarities.amax(2)], dim=2)
    return features.flatten(1) @ weight.T


@pytest.mark.parametrize("chunk_values", [2**22, 100])
def test_cgp_equals_its_plain_formulation_in_double_precision(chunk_values, monkeypatch):
    monkeypatch.setattr(similarity, "_CHUNK_VALUES", chunk_values)
    probe = build("cgp", depth=3, width=12, classes=5, prototypes=30).double().eval()
    tokens = Tokens(
        cls=torch.randn(3, 4, 12, dtype=torch.float64, requires_grad=True),
        patches=torch.randn(3, 4, 12, 5, 2, dtype=torch.float64, requires_grad=True),
    )
    inputs = [tokens.cls, tokens.patches, *probe.parameters()]
    cotangent = torch.randn(4, 5, dtype=torch.float64)
    fast = probe(tokens)
    plain = plain_cgp(tokens, probe.block_attention, probe.prototype_vectors, probe.fc.weight)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)
    found = torch.autograd.grad(fast, inputs, cotangent, allow_unused=True)
    expected = torch.autograd.grad(plain, inputs, cotangent, allow_unused=True)
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reduce", [smallest_and_largest, largest])
def test_extreme_similarities_pass_the_gradient_check(reduce):
    tokens = torch.randn(3, 7, 4, dtype=torch.float64, requires_grad=True)
    prototypes = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reduce, (tokens, prototypes), atol=1e-8)


def test_frozen_tokens_receive_no_gradient_and_prototypes_do():
    tokens, prototypes = torch.randn(3, 7, 4), torch.randn(9, 4, requires_grad=True)
    smallest_and_largest(tokens, prototypes).sum().backward()
    assert tokens.grad is None
    assert prototypes.grad is not None


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [("cgp", {"prototypes": 10_000}, 23_490_539), ("protobin", {"prototypes": 10_000}, 12_950_527)],
)
def test_probes_have_the_papers_number_of_parameters(name, options, parameters):
    with torch.device("meta"):
        probe = build(name, depth=12, width=768, classes=527, **options)
    assert sum(parameter.numel() for parameter in probe.parameters()) == parameters


def test_the_linear_probe_reads_the_block_it_is_told_to():
    tokens = Tokens(cls=torch.randn(3, 2, 8), patches=torch.randn(3, 2, 8, 4, 2))
    for block in range(-3, 3):
        probe = build("lp", depth=3, width=8, classes=2, block=block)
        torch.testing.assert_close(probe.features(tokens), tokens.cls[block])


@pytest.mark.parametrize(("name", "start"), [("cgp", 1.0), ("lcgp", 0.0)])
def test_the_gate_starts_uniform(name, start):
    probe = build(name, depth=4, width=8, classes=2)
    assert (probe.block_attention == start).all()
    torch.testing.assert_close(probe.gate_weights(), torch.full((4,), 0.25))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("svm", {}, "expected one of lp, lcgp, cgp, protobin, head2toe, asr, found svm"),
        ("lp", {"prototypes": 3}, "probe lp: expected options among .*, found prototypes"),
        ("lp", {"pooling": "max"}, "expected cls or mean, found max"),
        ("cgp", {"frame_wise": True}, "frame-wise probe expected mean, found cls"),
        ("lp", {"block": 7}, "expected one of 3 blocks, found block 7"),
    ],
)
def test_wrong_requests_are_refused(name, options, message):
    with pytest.raises(BatError, match=message):
        build(name, depth=3, width=8, classes=2, **options)


def test_tokens_that_do_not_belong_together_are_refused():
    with pytest.raises(BatError, match=r"found \[3, 2, 8\] and \[3, 4, 8, 5, 2\]"):
        Tokens(cls=torch.zeros(3, 2, 8), patches=torch.zeros(3, 4, 8, 5, 2))


SHAPED_PROBES = ("lp", "lcgp", "cgp", "protobin", "head2toe", "asr")


@pytest.mark.parametrize("name", SHAPED_PROBES)
@pytest.mark.parametrize(("depth", "width"), [(0, 8), (2, 8), (4, 8), (3, 6)])
def test_tokens_of_another_encoder_are_refused_with_both_shapes(name, depth, width):
    probe = build(name, depth=3, width=8, classes=2)
    tokens = Tokens(cls=torch.zeros(depth, 5, width), patches=torch.zeros(depth, 5, width, 4, 2))
    expected = r"expected tokens cls \[3, B, 8\] and patches \[3, B, 8, T, F\]"
    found = rf"found \[{depth}, 5, {width}\] and \[{depth}, 5, {width}, 4, 2\]"
    with pytest.raises(BatError, match=f"{expected}, {found}"):
        probe.features(tokens)


def test_tokens_whose_cls_is_none_are_refused_with_both_shapes():
    with pytest.raises(BatError, match=r"found none and \[3, 4, 8, 5, 2\]"):
        Tokens(cls=None, patches=torch.zeros(3, 4, 8, 5, 2))


def test_tokens_without_cls_are_refused_with_both_shapes():
    with pytest.raises(BatError, match=r"found \[0, 4, 8\] and \[3, 4, 8, 5, 2\]"):
        Tokens(cls=torch.zeros(0, 4, 8), patches=torch.zeros(3, 4, 8, 5, 2))


@pytest.mark.parametrize("name", ["cgp", "protobin"])
def test_prototypes_train_under_bfloat16_autocast(name):
    tokens = Tokens(cls=torch.randn(2, 3, 8), patches=torch.randn(2, 3, 8, 4, 2))
    probe = build(name, depth=2, width=8, classes=2, prototypes=5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = probe.classify(probe.features(tokens)).float().square().sum()
    loss.backward()
    assert probe.prototype_vectors.grad.dtype == torch.float32
    assert probe.prototype_vectors.grad.isfinite().all()
