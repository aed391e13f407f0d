import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.models.tokens import Tokens
from bat.optimisation.groups import probe_groups
from bat.probes import build
from bat.probes.asr import AsrProbe


def tokens(depth=3, clips=2, width=8, time=5, frequency=4, dtype=torch.float32) -> Tokens:
    return Tokens(
        cls=torch.randn(depth, clips, width, dtype=dtype),
        patches=torch.randn(depth, clips, width, time, frequency, dtype=dtype),
    )


def tiny(**options) -> AsrProbe:
    probe = build("asr", **{"depth": 3, "width": 8, "classes": 6, "hidden": 7, **options})
    assert isinstance(probe, AsrProbe)
    return probe.eval()


@settings(max_examples=15, deadline=None)
@given(
    clips=st.integers(1, 3),
    time=st.integers(1, 6),
    frequency=st.integers(1, 4),
    classes=st.integers(2, 30),
)
def test_every_time_patch_becomes_eight_frames_of_logits(clips, time, frequency, classes):
    probe = tiny(classes=classes)
    features = probe.features(tokens(clips=clips, time=time, frequency=frequency))
    assert features.shape == (clips, time, 3, 8)
    assert probe.classify(features).shape == (clips, 8 * time, classes)


def plain_logits(probe: AsrProbe, patches: torch.Tensor) -> torch.Tensor:
    """The probe as it is defined, with the transposed convolution as one linear map a patch."""
    weights = torch.softmax(probe.block_attention, dim=0)
    mixed = (weights[:, None, None, None, None] * patches).sum(0).mean(-1)
    kernel = probe.upsample.weight  # [in, out, 8]
    frames = torch.einsum("bit,iok->btko", mixed, kernel) + probe.upsample.bias
    states, _ = probe.lstm(frames.flatten(1, 2))
    normed = F.layer_norm(states, states.shape[-1:], probe.ln.weight, probe.ln.bias, eps=1e-6)
    return normed @ probe.fc.weight.T + probe.fc.bias


def test_logits_equal_the_plain_formulation():
    probe, inputs = tiny(), tokens()
    torch.nn.init.normal_(probe.block_attention)
    torch.testing.assert_close(probe(inputs), plain_logits(probe, inputs.patches))


def test_the_gate_starts_uniform():
    probe = tiny(depth=4)
    assert (probe.block_attention == 0).all()
    torch.testing.assert_close(probe.gate_weights(), torch.full((4,), 0.25))


def test_the_lstm_has_two_bidirectional_layers_of_512_with_dropout_between():
    probe = build("asr", depth=1, width=8, classes=29)
    lstm = probe.lstm
    assert (lstm.num_layers, lstm.hidden_size, lstm.bidirectional) == (2, 512, True)
    assert lstm.dropout == 0.2
    assert probe.upsample.kernel_size == probe.upsample.stride == (8,)


def test_dropout_acts_in_training_only():
    probe, inputs = tiny(dropout=0.5), tokens()
    assert torch.equal(probe(inputs), probe(inputs))
    probe.train()
    assert not torch.equal(probe(inputs), probe(inputs))


def test_the_lstm_computes_in_float32_under_autocast():
    probe, seen = tiny(), []
    probe.lstm.register_forward_hook(
        lambda _module, inputs, outputs: seen.extend([inputs[0].dtype, outputs[0].dtype])
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        probe(tokens())
    assert seen == [torch.float32, torch.float32]


def test_a_clip_does_not_depend_on_its_batch_mates():
    probe, inputs = tiny(), tokens(clips=3)
    torch.testing.assert_close(probe(inputs)[1:2], probe(inputs.select(slice(1, 2))))


def test_the_gate_is_not_decayed():
    probe = tiny()
    _, undecayed = probe_groups(probe, weight_decay=0.1)
    assert any(parameter is probe.block_attention for parameter in undecayed["params"])


def test_the_probe_learns_characters_with_ctc():
    probe = tiny(hidden=16, dropout=0.0).train()
    features = probe.features(tokens(time=3))
    characters = torch.tensor([[1, 2, 3], [4, 5, 5]])
    optimizer = torch.optim.AdamW(probe_groups(probe, weight_decay=0.0), lr=1e-2)
    losses = []
    for _ in range(40):
        log_probabilities = probe.classify(features).log_softmax(-1).transpose(0, 1)
        loss = F.ctc_loss(log_probabilities, characters, [24, 24], [3, 3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("parameter", ["block_attention", "upsample.weight", "lstm.weight_hh_l1"])
def test_every_part_receives_a_gradient(parameter):
    probe = tiny()
    torch.nn.init.normal_(probe.block_attention)
    probe(tokens()).square().sum().backward()
    assert dict(probe.named_parameters())[parameter].grad.abs().sum() > 0
