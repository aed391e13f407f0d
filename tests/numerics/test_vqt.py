import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bat.errors import BatError
from bat.models.encoder import AudioTransformer
from bat.optimisation.groups import probe_groups
from bat.probes.vqt import VisualQueryProbe
from numerics.conformance import below, load_case, relative_error


def tiny_encoder(**options) -> AudioTransformer:
    settings = {"width": 16, "depth": 2, "heads": 2, "grid_time_patches": 4, **options}
    return AudioTransformer(**settings)


def tiny_probe(**options) -> VisualQueryProbe:
    return VisualQueryProbe(tiny_encoder(), **{"classes": 3, "queries": 2, **options})


def reference() -> tuple[VisualQueryProbe, dict[str, torch.Tensor]]:
    tensors, meta = load_case("model_vqt")
    encoder = AudioTransformer(width=meta["dim"], depth=meta["depth"], heads=meta["num_heads"])
    probe = VisualQueryProbe(encoder, classes=7, queries=meta["num_vqt"], head_norm=True)
    own = {"vqt", "head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    state = {k if k in own else f"encoder.{k}": v for k, v in below(tensors, "state.").items()}
    probe.load_state_dict(state, strict=True)
    return probe.eval(), tensors


def test_logits_equal_the_reference():
    probe, tensors = reference()
    assert relative_error(probe(tensors["spectrogram"]), tensors["logits"]) < 1e-5


def plain_logits(probe: VisualQueryProbe, spectrogram: torch.Tensor) -> torch.Tensor:
    """The probe as it is defined: queries beside the tokens, masked out of keys and values."""
    encoder = probe.encoder
    cls, patches = encoder._embed(spectrogram)
    x, parts = torch.cat([cls[:, None], patches], dim=1), []
    for block, queries in zip(encoder.blocks, probe.vqt, strict=True):
        tokens = x.shape[1]
        x = torch.cat([x, queries.expand(len(x), -1, -1)], dim=1)
        qkv = block.attn.qkv(x).view(*x.shape[:2], 3, block.attn.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        scores[..., tokens:] = -torch.inf
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        x = block.norm1(x + block.attn.proj(mixed * torch.sigmoid(block.attn.gate(x))))
        x = block.norm2(x + block.mlp(x))
        x, out = x[:, :tokens], x[:, tokens:]
        parts.append(F.normalize(out.flatten(1), dim=-1))
    return probe.head(torch.cat([F.normalize(x[:, 0], dim=-1), *parts], dim=-1))


def test_logits_and_gradients_equal_the_plain_formulation_in_double_precision():
    probe = tiny_probe(head_norm=True).double().eval()
    spectrogram = torch.rand(3, 1, 48, 128, dtype=torch.float64)
    trained = [parameter for parameter in probe.parameters() if parameter.requires_grad]
    cotangent = torch.randn(3, 3, dtype=torch.float64)
    found, expected = probe(spectrogram), plain_logits(probe, spectrogram)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(found, trained, cotangent),
        torch.autograd.grad(expected, trained, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gated", [True, False])
def test_the_tokens_do_not_see_the_queries(gated):
    encoder = tiny_encoder(gated=gated).eval()
    spectrogram = torch.rand(2, 1, 64, 128)
    with torch.no_grad():
        cls, outputs = encoder.with_queries(spectrogram, torch.randn(2, 3, 16))
        torch.testing.assert_close(cls, encoder(spectrogram).cls[-1], rtol=0, atol=0)
    assert outputs.shape == (2, 2, 3, 16)


def test_a_query_equal_to_the_cls_token_reads_what_cls_reads():
    encoder = tiny_encoder().eval()
    spectrogram = torch.rand(1, 1, 64, 128)
    with torch.no_grad():
        cls = encoder(spectrogram).cls[:, 0]
        inputs = torch.stack([encoder.pre_norm(encoder.cls_token)[0, 0], cls[0]])
        _, outputs = encoder.with_queries(spectrogram, inputs[:, None])
    torch.testing.assert_close(outputs[:, 0, 0], cls)


def test_of_a_long_clip_cls_and_query_outputs_are_averaged_over_chunks():
    encoder, spectrogram = tiny_encoder().eval(), torch.rand(2, 1, 96, 128)
    queries = torch.randn(2, 3, 16)
    with torch.no_grad():
        whole = encoder.with_queries(spectrogram, queries)
        first = encoder.with_queries(spectrogram[:, :, :64], queries)
        second = encoder.with_queries(spectrogram[:, :, 64:], queries)
        torch.testing.assert_close(whole[0], encoder(spectrogram).cls[-1])
    for found, one, other in zip(whole, first, second, strict=True):
        torch.testing.assert_close(found, (one + other) / 2)


def test_only_queries_and_head_are_trained_and_the_encoder_stays_in_evaluation_mode():
    probe = tiny_probe(head_norm=True, dropout=0.5).train()
    trained = {name for name, p in probe.named_parameters() if p.requires_grad}
    assert trained == {"vqt", "head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    assert probe.training
    assert probe.head.dropout.training
    assert not any(module.training for module in probe.encoder.modules())
    before = {name: value.clone() for name, value in probe.encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(probe_groups(probe, weight_decay=0.1), lr=0.1)
    probe(torch.rand(2, 1, 32, 128)).square().sum().backward()
    optimizer.step()
    for name, value in probe.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in probe.encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in probe.parameters() if p.requires_grad)


def test_queries_are_not_decayed():
    probe = tiny_probe()
    decayed, undecayed = probe_groups(probe, weight_decay=0.1)
    assert any(parameter is probe.vqt for parameter in undecayed["params"])
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(3, 80)]


def test_an_encoder_whose_blocks_take_no_queries_is_refused():
    with pytest.raises(BatError, match=r"expected an audio transformer.*found Linear"):
        VisualQueryProbe(nn.Linear(2, 2), classes=3)


@pytest.mark.parametrize("shape", [(3, 2, 16), (2, 2, 8), (2, 16)])
def test_queries_of_another_encoder_are_refused(shape):
    with pytest.raises(BatError, match=r"expected queries \[2, q, 16\], found \["):
        tiny_encoder().with_queries(torch.rand(1, 1, 32, 128), torch.zeros(shape))


def test_a_spectrogram_of_another_shape_is_refused():
    with pytest.raises(BatError, match=r"expected a spectrogram .* found \[1, 1, 30, 128\]"):
        tiny_probe()(torch.rand(1, 1, 30, 128))


def test_the_probe_is_imported_without_timm():
    script = "import sys, bat.probes.vqt, bat.probes.asr; print('timm' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
