import importlib.util
import subprocess
import sys

import pytest
import torch

from bat import compat
from bat.errors import BatError
from bat.models.decoders import ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.models.timm_encoder import TimmEncoder
from bat.pretraining.step import Student

# isort: split
import timm


def tiny(name="vit_tiny_patch16_224", **options) -> TimmEncoder:
    return TimmEncoder(name, time_patches=4, **options).eval()


def parameters(module) -> float:
    """In millions, to two places."""
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 2)


def test_tokens_are_the_outputs_of_timms_blocks():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 64, 128)
    with torch.no_grad():
        tokens = encoder(spectrogram)
        outputs = encoder.model.forward_intermediates(
            spectrogram, norm=False, output_fmt="NLC", return_prefix_tokens=True,
            intermediates_only=True,
        )  # fmt: skip
    patches = torch.stack([patch for patch, _ in outputs])
    prefix = torch.stack([prefix for _, prefix in outputs])
    assert (encoder.width, encoder.depth, encoder.frequency_patches) == (192, 12, 8)
    torch.testing.assert_close(tokens.cls, prefix[:, :, 0])
    torch.testing.assert_close(tokens.patches.flatten(3).transpose(2, 3), patches)


@pytest.mark.parametrize(
    ("name", "has_cls"),
    [
        ("deit_tiny_patch16_224", True),
        ("deit_tiny_distilled_patch16_224", True),
        ("vit_wee_patch16_reg1_gap_256", False),
        ("vit_pwee_patch16_reg1_gap_256", False),
    ],
)
def test_only_cls_and_patches_are_returned(name, has_cls):
    encoder = tiny(name)
    with torch.no_grad():
        tokens = encoder(torch.rand(1, 1, 48, 128))
    assert tokens.patches.shape == (encoder.depth, 1, encoder.width, 3, 8)
    mean_patch = tokens.patches.mean(dim=(3, 4))
    assert torch.allclose(tokens.cls, mean_patch, atol=1e-6) is not has_cls


def test_a_short_clip_takes_the_positions_of_the_first_time_patches():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 64, 128)
    with torch.no_grad():
        short, whole = encoder._embed(spectrogram[:, :, :32]), encoder._embed(spectrogram)
    assert torch.equal(short, whole[:, : 1 + 2 * 8])


def test_a_long_clip_is_encoded_in_chunks_of_the_grid():
    encoder, spectrogram = tiny(), torch.rand(1, 1, 6 * 16, 128)
    with torch.no_grad():
        whole = encoder(spectrogram)
        first, second = encoder(spectrogram[:, :, :64]), encoder(spectrogram[:, :, 64:])
    torch.testing.assert_close(whole.cls, (first.cls + second.cls) / 2)
    torch.testing.assert_close(whole.patches, torch.cat([first.patches, second.patches], dim=3))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tiny_patch17_224", r"timm knows no model .*; it knows vit_"),
        ("qqqq", "it knows none like it"),
        ("resnet18", "expected a VisionTransformer with PatchEmbed, found ResNet"),
        ("swin_tiny_patch4_window7_224", "found SwinTransformer"),
        ("vit_tiny_r_s16_p8_224", "found VisionTransformer with HybridEmbed"),
        ("vit_tiny_patch16_224.nonsense", "nonsense"),
        ("vit_small_patch14_dinov2", "128 mel bins are no multiple of patch 14"),
    ],
)
def test_a_model_that_is_no_plain_vision_transformer_is_refused(name, message):
    with pytest.raises(BatError, match=message):
        tiny(name)


def test_sizes_are_those_of_the_paper():
    with torch.device("meta"):
        encoder = timm.create_model("bat_base_patch16")
        decoder = ViTDecoder(width=768, depth=6, heads=12, mlp_ratio=4.0, grid=(64, 8))
    assert isinstance(encoder, AudioTransformer)
    assert parameters(encoder) == 92.73
    assert parameters(Student(encoder, decoder)) == 139.79


def test_a_registered_model_maps_spectrograms_to_tokens():
    encoder = timm.create_model("bat_small_patch16", grid_time_patches=2, drop_path_rate=0.2)
    assert encoder.blocks[-1].drop_path.drop_prob == pytest.approx(0.2)
    with torch.no_grad():
        tokens = encoder.eval()(torch.rand(1, 1, 32, 128))
    assert tokens.patches.shape == (12, 1, 384, 2, 8)


def test_what_a_registered_model_has_not_is_refused():
    with pytest.raises(BatError, match="expected pretrained=False, found True"):
        timm.create_model("bat_base_patch16", pretrained=True)
    with pytest.raises(BatError, match="unexpected keyword argument 'num_classes'"):
        timm.create_model("bat_base_patch16", num_classes=10)


@pytest.mark.parametrize(
    "script",
    [
        "import bat, timm",
        "import bat.compat, timm",
        "import bat.compat, timm, torchaudio, torchvision",
        "import bat.models.encoder, timm",
        "import bat.compat, timm; import bat.models.registry",
    ],
)
def test_timm_knows_the_models_however_it_came_to_be_imported(tmp_path, script):
    check = (
        "assert len(timm.list_models(['bat_*_patch16'])) == 3\n"
        "import torch\n"
        "with torch.device('meta'):\n"
        "    print(type(timm.create_model('bat_large_patch16')).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:bat", "-c", f"{script}\n{check}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "AudioTransformer"


def test_models_are_registered_at_once_where_timm_is_there_already(tmp_path):
    script = (
        "import sys, bat.compat, timm\n"
        "from timm.models import _registry\n"
        "for name in ['bat.compat', 'bat.models.timm_models']: del sys.modules[name]\n"
        "_registry._model_entrypoints.pop('bat_base_patch16')\n"
        "import importlib; importlib.import_module('bat.compat')\n"
        "print(timm.is_model('bat_base_patch16'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "True", done.stderr


def test_the_hook_itself_imports_nothing_heavy(tmp_path):
    script = (
        "import sys, importlib.util, bat.compat\n"
        "importlib.util.find_spec('timm'), importlib.util.find_spec('torchaudio')\n"
        "print(sorted({'torch', 'timm', 'torchaudio', 'torchvision'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_extensions_that_load_are_left_alone(monkeypatch):
    monkeypatch.setattr(torch.ops, "load_library", lambda _path: None)
    monkeypatch.setattr(compat, "_declared", [])
    monkeypatch.setitem(sys.modules, "torchaudio._extension", "the package's own")
    compat._prepare_torchvision(importlib.util.find_spec("torchvision"))
    compat._prepare_torchaudio(importlib.util.find_spec("torchaudio"))
    assert compat._declared == []
    assert sys.modules["torchaudio._extension"] == "the package's own"
