import argparse
import json
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bat.errors import BatError
from bat.models.beats import BeatsEncoder
from bat.models.checkpoint import InputScaling, load_encoder, read_encoder, save_encoder
from bat.models.encoder import AudioTransformer
from bat.models.registry import build_encoder
from bat.models.weights import load_strict, read_weights
from numerics.conformance import below, load_case, relative_error

AUDIO = {"width": 16, "depth": 2, "heads": 2, "grid_time_patches": 4}
BEATS = {"width": 16, "depth": 2, "heads": 2, "mlp_width": 24, "patch_width": 12,
         "position_kernel": 6, "position_groups": 4, "grid_time_patches": 4}  # fmt: skip
SCALING = InputScaling(mean=0.5, scale=2.0, patch_size=16)
SPECTROGRAM = torch.rand(2, 1, 64, 128)


def audio_transformer(**options) -> AudioTransformer:
    return AudioTransformer(**AUDIO, **options).eval()


def beats() -> BeatsEncoder:
    return BeatsEncoder(**BEATS).eval()


def assert_same_tokens(found, expected, spectrogram=SPECTROGRAM):
    with torch.no_grad():
        a, b = found.eval()(spectrogram), expected.eval()(spectrogram)
    assert torch.equal(a.cls, b.cls)
    assert torch.equal(a.patches, b.patches)


def eat_names(state):
    """Names of an EAT or SSLAM pretraining model."""
    image = "modality_encoders.IMAGE."
    renamed = {
        "cls_token": image + "extra_tokens",
        "pos_embed": image + "fixed_positional_encoder.positions",
        "patch_embed.proj.weight": image + "local_encoder.proj.weight",
        "patch_embed.proj.bias": image + "local_encoder.proj.bias",
        "pre_norm.weight": image + "context_encoder.norm.weight",
        "pre_norm.bias": image + "context_encoder.norm.bias",
    }
    return {renamed.get(name, name): value for name, value in state.items()}


def test_bat_weights_are_read_under_their_own_names(tmp_path):
    encoder, other = audio_transformer(), audio_transformer()
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    load_strict(other, read_weights(tmp_path / "model.safetensors", layout="bat"), "model")
    assert_same_tokens(other, encoder)


@pytest.mark.parametrize("branch", ["student", "ema"])
def test_a_training_checkpoint_gives_the_branch_that_is_named(tmp_path, branch):
    encoders = {"student": audio_transformer(), "ema": audio_transformer()}
    checkpoint = {
        "encoder": encoders["student"].state_dict(),
        "ema_encoder": encoders["ema"].state_dict(),
        "decoder": {"mask_token": torch.zeros(1, 1, 8)},
        "optimized_steps": 402_610,
        "args": {"lr": 5e-4},
    }
    torch.save(checkpoint, tmp_path / "step.pt")
    other = audio_transformer()
    state = read_weights(tmp_path / "step.pt", layout="bat-training", branch=branch)
    load_strict(other, state, "step.pt")
    assert_same_tokens(other, encoders[branch])


def test_a_state_dict_of_the_trained_pair_gives_the_student(tmp_path):
    encoder, other = audio_transformer(), audio_transformer()
    state = {f"student.encoder.{name}": value for name, value in encoder.state_dict().items()}
    state["student.decoder.mask_token"] = torch.zeros(1, 1, 8)
    torch.save({"state_dict": state}, tmp_path / "last.pt")
    read = read_weights(tmp_path / "last.pt", layout="bat-training", branch="student")
    load_strict(other, read, "last.pt")
    assert_same_tokens(other, encoder)


def test_the_branch_must_be_named_and_be_there(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"encoder": audio_transformer().state_dict(), "optimized_steps": 1}, path)
    with pytest.raises(BatError, match="expected the branch student or ema, found None"):
        read_weights(path, layout="bat-training")
    with pytest.raises(BatError, match="under 'ema_encoder', found the keys encoder, optimized"):
        read_weights(path, layout="bat-training", branch="ema")
    torch.save({"state_dict": {"student.encoder.cls_token": torch.zeros(1)}}, path)
    with pytest.raises(BatError, match=r"expected an EMA encoder.*student's only"):
        read_weights(path, layout="bat-training", branch="ema")
    with pytest.raises(BatError, match="layout eat has no branches; found branch ema"):
        read_weights(path, layout="eat", branch="ema")


def test_eat_and_sslam_weights_give_the_references_tokens(tmp_path):
    tensors, meta = load_case("encoder_eat_256")
    model = eat_names(below(tensors, "state."))
    model["modality_encoders.IMAGE.decoder.proj.weight"] = torch.zeros(3, 3)
    model["_ema"] = {"blocks.0.norm1.weight": torch.zeros(24)}
    torch.save({"model": model, "args": None, "cfg": {"epochs": 30}}, tmp_path / "eat.pt")
    encoder = AudioTransformer(
        width=meta["dim"], depth=meta["depth"], heads=meta["num_heads"], gated=False
    )
    load_strict(encoder, read_weights(tmp_path / "eat.pt", layout="eat"), "eat.pt")
    with torch.no_grad():
        tokens = encoder.eval()(tensors["spectrogram"])
    assert relative_error(tokens.cls, tensors["cls_tokens"]) < 1e-5
    assert relative_error(tokens.patches, tensors["patch_tokens"]) < 1e-5


def test_an_eat_checkpoint_with_an_unknown_part_is_refused(tmp_path):
    model = eat_names(audio_transformer(gated=False).state_dict())
    model["modality_encoders.TEXT.extra_tokens"] = torch.zeros(1)
    torch.save({"model": model}, tmp_path / "eat.pt")
    with pytest.raises(BatError, match=r"unexpected: modality_encoders\.TEXT\.extra_tokens"):
        read_weights(tmp_path / "eat.pt", layout="eat")


def test_beats_weights_are_read_under_their_own_names(tmp_path):
    encoder, other = beats(), beats()
    torch.save({"cfg": {"layers": 2}, "model": encoder.state_dict()}, tmp_path / "beats.pt")
    load_strict(other, read_weights(tmp_path / "beats.pt", layout="beats"), "beats.pt")
    assert_same_tokens(other, encoder)


def test_beats_tables_that_should_be_one_but_differ_are_refused():
    encoder = beats()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    name = "encoder.layers.1.self_attn.relative_attention_bias.weight"
    state[name] += 1
    with pytest.raises(BatError, match=f"different from the weight they share: {name}"):
        load_strict(encoder, state, "beats.pt")


def test_every_key_that_does_not_fit_is_listed_and_nothing_is_loaded():
    encoder = audio_transformer()
    before = encoder.cls_token.clone()
    state = audio_transformer().state_dict()
    del state["pre_norm.bias"]
    state["head.weight"] = torch.zeros(2)
    state["blocks.0.norm1.weight"] = torch.zeros(24)
    with pytest.raises(BatError) as refusal:
        load_strict(encoder, state, "some.file")
    assert "some.file: weights do not fit AudioTransformer; missing: pre_norm.bias;" in str(
        refusal.value
    )
    assert "unexpected: head.weight" in str(refusal.value)
    assert "blocks.0.norm1.weight (expected [16], found [24])" in str(refusal.value)
    assert torch.equal(encoder.cls_token, before)


def test_weights_of_another_width_name_both_shapes(tmp_path):
    save_file(audio_transformer().state_dict(), tmp_path / "model.safetensors")
    wider = AudioTransformer(width=24, depth=2, heads=2, grid_time_patches=4)
    state = read_weights(tmp_path / "model.safetensors", layout="bat")
    with pytest.raises(BatError, match=r"cls_token \(expected \[1, 1, 24\], found \[1, 1, 16\]\)"):
        load_strict(wider, state, "model.safetensors")


def test_a_checkpoint_that_needs_classes_is_refused_without_running_them(tmp_path):
    state = audio_transformer().state_dict()
    torch.save({"encoder": state, "args": argparse.Namespace(lr=1)}, tmp_path / "last.pt")
    with pytest.raises(BatError, match=r"plain tensors and containers.*argparse\.Namespace") as at:
        read_weights(tmp_path / "last.pt", layout="bat-training", branch="student")
    assert "\n" not in str(at.value)
    assert "add_safe_globals" not in str(at.value)


@pytest.mark.parametrize("layout", ["bat", "eat"])
@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"PK\x03\x04 cut"])
def test_an_absent_or_damaged_file_is_refused_by_name(tmp_path, layout, content):
    path = tmp_path / "weights.file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BatError, match=r"weights\.file: expected a "):
        read_weights(path, layout=layout)


def test_a_checkpoint_without_the_layouts_part_names_what_it_holds(tmp_path):
    torch.save({"weights": {}, "epoch": 3}, tmp_path / "x.pt")
    with pytest.raises(BatError, match="under 'model', found the keys epoch, weights"):
        read_weights(tmp_path / "x.pt", layout="beats")
    torch.save([1, 2], tmp_path / "x.pt")
    with pytest.raises(BatError, match="expected a dict of weights, found list"):
        read_weights(tmp_path / "x.pt", layout="beats")
    torch.save({"model": {"cls_token": "text"}}, tmp_path / "x.pt")
    with pytest.raises(BatError, match="expected tensors under 'model', found else: cls_token"):
        read_weights(tmp_path / "x.pt", layout="beats")


def test_an_unknown_layout_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(BatError, match="one of bat, bat-training, eat, beats"):
        read_weights(tmp_path / "x.pt", layout="pickle")


@pytest.mark.parametrize(
    "architecture",
    [
        AUDIO,
        {"kind": "audio-transformer", "gated": False, **AUDIO},
        {"kind": "beats", **BEATS},
        {"kind": "timm", "name": "vit_tiny_patch16_224", "time_patches": 4, "pretrained": False},
    ],
    ids=["default", "ungated", "beats", "timm"],
)
def test_every_kind_of_encoder_is_written_and_read_back(tmp_path, architecture):
    encoder, path = build_encoder(architecture), tmp_path / "encoder.safetensors"
    save_encoder(path, encoder, architecture, SCALING)
    read, scaling = read_encoder(path)
    assert not read.training
    assert type(read) is type(encoder)
    assert scaling == SCALING
    assert_same_tokens(read, encoder)
    short = torch.rand(1, 1, 50, 128)
    with torch.no_grad():
        assert torch.equal(load_encoder(path)(short).cls, read(SCALING(short)).cls)


def test_where_weights_came_from_is_no_part_of_a_written_encoder(tmp_path):
    settings = {"kind": "timm", "name": "vit_tiny_patch16_224", "time_patches": 2}
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, build_encoder(settings), settings | {"pretrained": True}, SCALING)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["bat"])["architecture"] == settings


def test_a_written_encoder_whose_weights_are_of_another_width_is_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, audio_transformer(), AUDIO | {"width": 24}, SCALING)
    with pytest.raises(BatError, match=r"expected \[1, 1, 24\], found \[1, 1, 16\]"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "description is missing"),
        ({"bat": "{"}, "description of its encoder is damaged"),
        ({"bat": "{}"}, "description of its encoder is damaged: 'architecture'"),
        (
            {"bat": json.dumps({"architecture": {"kind": "rnn"}, "scaling": asdict(SCALING)})},
            "kind of audio-transformer, beats, timm, adapter, found 'rnn'",
        ),
    ],
)
def test_a_file_that_does_not_describe_its_encoder_is_refused(tmp_path, metadata, message):
    path = tmp_path / "encoder.safetensors"
    save_file(audio_transformer().state_dict(), path, metadata)
    with pytest.raises(BatError, match=message):
        load_encoder(path)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({**AUDIO, "widht": 3}, "unexpected keyword argument 'widht'; its arguments are width"),
        ({"kind": "beats", "width": 16}, "beats: missing a required argument: 'depth'"),
        ({**AUDIO, "drop_path": 0.1}, "multiple values for keyword argument 'drop_path'"),
    ],
)
def test_arguments_that_an_encoder_does_not_take_are_refused(architecture, message):
    with pytest.raises(BatError, match=message):
        build_encoder(architecture)


@pytest.mark.parametrize("kind", [AUDIO, {"kind": "beats", **BEATS}])
def test_drop_path_of_the_last_block_is_that_asked_for(kind):
    encoder = build_encoder(kind, drop_path=0.3)
    rates = [m.drop_prob for m in encoder.modules() if type(m).__name__ == "DropPath"]
    assert rates[0] == 0.0
    assert rates[-1] == pytest.approx(0.3)
