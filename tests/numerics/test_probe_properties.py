"""What must hold of the probes for tokens of any shape."""

from dataclasses import dataclass
from unittest.mock import patch

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bat.models.tokens import Tokens
from bat.probes import build, similarity
from bat.probes.base import Probe
from bat.probes.cgp import ConvexGatedProbe
from bat.probes.protobin import ProtoBinProbe

quick = settings(max_examples=30, deadline=None)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Shape of random tokens and of the probe that reads them, and the seed of both."""

    depth: int
    clips: int
    width: int
    time: int
    frequency: int
    classes: int
    prototypes: int
    seed: int

    def tokens(self) -> Tokens:
        shape = self.depth, self.clips, self.width
        patches = torch.randn(*shape, self.time, self.frequency, dtype=torch.float64)
        return Tokens(cls=torch.randn(shape, dtype=torch.float64), patches=patches)

    def probe(self, name: str, **options) -> Probe:
        if name in ("cgp", "protobin"):
            options["prototypes"] = self.prototypes
        probe = build(name, depth=self.depth, width=self.width, classes=self.classes, **options)
        for parameter in probe.parameters():  # a trained probe, not a fresh one
            torch.nn.init.normal_(parameter)
        return probe.double().eval()


# Tokens of width one are all +1 or -1 once normalised, hence tied: two at least.
cases = st.builds(
    Case,
    depth=st.integers(1, 4),
    clips=st.integers(1, 4),
    width=st.integers(2, 12),
    time=st.integers(1, 6),
    frequency=st.integers(1, 4),
    classes=st.integers(1, 5),
    prototypes=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
clip_level = st.sampled_from([{"pooling": "cls"}, {"pooling": "mean"}])
readings = st.sampled_from(
    [{"pooling": "cls"}, {"pooling": "mean"}, {"pooling": "mean", "frame_wise": True}]
)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@quick
@given(case=cases, reading=clip_level)
def test_cgp_does_not_depend_on_the_order_of_patches(case, reading):
    torch.manual_seed(case.seed)
    tokens, probe = case.tokens(), case.probe("cgp", **reading)
    order = torch.randperm(case.time * case.frequency)
    shuffled = tokens.patches.flatten(3)[..., order].view_as(tokens.patches)
    assert_equal(probe(Tokens(cls=tokens.cls, patches=shuffled)), probe(tokens))


@quick
@given(case=cases)
def test_frame_wise_cgp_does_not_depend_on_the_order_of_frequencies_within_a_frame(case):
    torch.manual_seed(case.seed)
    tokens, probe = case.tokens(), case.probe("cgp", pooling="mean", frame_wise=True)
    order_BTF = torch.rand(case.clips, case.time, case.frequency).argsort(dim=-1)
    order = order_BTF[None, :, None].expand_as(tokens.patches)
    shuffled = tokens.patches.gather(4, order)
    assert_equal(probe(Tokens(cls=tokens.cls, patches=shuffled)), probe(tokens))


@quick
@given(case=cases, reading=readings, name=st.sampled_from(["lp", "lcgp"]))
def test_the_linear_probes_do_not_depend_on_the_order_of_clips(case, reading, name):
    torch.manual_seed(case.seed)
    tokens, probe = case.tokens(), case.probe(name, **reading)
    order = torch.randperm(case.clips)
    assert_equal(probe(tokens.select(order)), probe(tokens)[order])


def plain_similarities(tokens_BDTF: Tensor, prototypes_KD: Tensor, frame_wise: bool) -> Tensor:
    """Every product of a token and a prototype, [B, N, K] or frame-wise [B, T, F, K]."""
    every_BTFK = torch.einsum("bdtf,kd->btfk", tokens_BDTF, prototypes_KD)
    return every_BTFK if frame_wise else every_BTFK.flatten(1, 2)


def plain_cgp(probe: ConvexGatedProbe, tokens: Tokens) -> Tensor:
    weights = torch.softmax(probe.block_attention, dim=0)
    prototypes = F.normalize(probe.prototype_vectors.flatten(1), dim=1)
    patches = torch.einsum("l,lbdtf->bdtf", weights, F.normalize(tokens.patches, dim=2))
    similarities = plain_similarities(patches, prototypes, probe.frame_wise)
    if probe.pooling == "cls":
        cls = torch.einsum("l,lbd->bd", weights, F.normalize(tokens.cls, dim=2))
        middle = torch.einsum("bd,kd->bk", cls, prototypes)
    else:
        middle = similarities.mean(dim=-2)
    three = [similarities.amin(dim=-2), middle, similarities.amax(dim=-2)]
    return probe.fc(torch.stack(three, dim=-1).flatten(-2))


def plain_protobin(probe: ProtoBinProbe, tokens: Tokens) -> Tensor:
    real = probe.prototype_vectors.flatten(1)
    straight_through = (torch.sign(real) - real).detach() + real
    prototypes = F.normalize(straight_through, dim=1)
    patches = F.normalize(tokens.patches[-1], dim=1)
    similarities = plain_similarities(patches, prototypes, probe.frame_wise)
    return probe.fc(similarities.amax(dim=-2))


def assert_equal_with_gradients(probe: Probe, tokens: Tokens, plain: Tensor, chunk: int) -> None:
    # Small chunks: the prototypes are then taken in several parts.
    with patch.object(similarity, "_CHUNK_VALUES", chunk):
        fast = probe(tokens)
    assert_equal(fast, plain)
    inputs = [tokens.cls, tokens.patches, *probe.parameters()]
    cotangent = torch.randn_like(plain)
    options = {"allow_unused": True, "materialize_grads": True}
    found = torch.autograd.grad(fast, inputs, cotangent, **options)
    expected = torch.autograd.grad(plain, inputs, cotangent, **options)
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def tokens_with_gradient(case: Case) -> Tokens:
    tokens = case.tokens()
    tokens.cls.requires_grad_()
    tokens.patches.requires_grad_()
    return tokens


@quick
@given(case=cases, reading=readings, chunk=st.integers(1, 500))
def test_cgp_and_its_gradients_equal_the_plain_formulation(case, reading, chunk):
    torch.manual_seed(case.seed)
    tokens, probe = tokens_with_gradient(case), case.probe("cgp", **reading)
    assert_equal_with_gradients(probe, tokens, plain_cgp(probe, tokens), chunk)


@quick
@given(case=cases, frame_wise=st.booleans(), chunk=st.integers(1, 500))
def test_protobin_and_its_gradients_equal_the_plain_formulation(case, frame_wise, chunk):
    torch.manual_seed(case.seed)
    tokens, probe = tokens_with_gradient(case), case.probe("protobin", frame_wise=frame_wise)
    assert_equal_with_gradients(probe, tokens, plain_protobin(probe, tokens), chunk)
