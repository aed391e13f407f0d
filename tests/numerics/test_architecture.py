"""From the parameters' encoder to the module."""

import pytest

from bat.errors import BatError
from bat.params.models import Adapter, AudioTransformer, Timm
from bat.stages.architecture import architecture_of, build

VIT = {"kind": "timm", "name": "vit_tiny_patch16_224"}
OWN = {"kind": "adapter", "factory": "my_encoder.py:build"}
SOURCE = """
import torch

class Encoder(torch.nn.Module):
    width, depth, patch_size, frequency_patches = 4, 2, 8, 16

def build(mel_bins, time_patches):
    encoder = Encoder()
    encoder.size = mel_bins, time_patches
    return encoder
"""


@pytest.fixture(autouse=True)
def adapter_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_encoder.py").write_text(SOURCE)


def built(settings):
    return build(settings, architecture_of(settings, mel_bins=128, time_patches=5))


def test_an_encoder_of_timm_fits_the_input():
    encoder = built(Timm(**VIT))
    assert (encoder.grid_time_patches, encoder.frequency_patches) == (5, 8)


def test_an_own_encoder_is_told_the_size_of_its_input():
    assert built(Adapter(**OWN, depth=2, patch_size=8)).encoder.size == (128, 5)


def test_a_position_grid_that_is_given_stays():
    settings = AudioTransformer(
        kind="audio-transformer", width=8, depth=1, heads=2, mlp_ratio=2.0, gated=True,
        patch_size=16, time_patches=9, position_order="time-major",
    )  # fmt: skip
    assert built(settings).grid_time_patches == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Timm(**VIT, depth=3), "timm: the parameters say depth 3, found 12"),
        (Timm(**VIT, patch_size=32), "timm: the parameters say patch_size 32, found 16"),
        (Adapter(**OWN), "adapter: the parameters say patch_size 16, found 8"),
        (Adapter(**OWN, depth=3, patch_size=8), "adapter: the parameters say depth 3, found 2"),
    ],
)
def test_an_encoder_that_is_not_as_the_parameters_say_is_refused(settings, message):
    with pytest.raises(BatError, match=message):
        built(settings)
