import hashlib

import pytest
import torch

from bat.errors import BatError
from bat.models.adapter import adapter_digest, load_adapter
from bat.models.checkpoint import InputScaling, load_encoder, save_encoder
from bat.models.registry import build_encoder

SOURCE = """
from dataclasses import dataclass
import torch
from bat.models.tokens import Tokens


@dataclass
class Sizes:
    width: int


class Convolution(torch.nn.Module):
    depth, patch_size, frequency_patches = 2, 16, 8

    def __init__(self, sizes, gives):
        super().__init__()
        self.width, self.gives = sizes.width, gives
        self.first = torch.nn.Conv2d(1, sizes.width, 16, 16)

    def forward(self, spectrogram):
        grid = self.first(spectrogram)
        patches = torch.stack([grid, grid * 2])
        if self.gives == "tensor":
            return patches
        if self.gives == "half":
            patches = patches[..., :4]
        return Tokens(cls=patches.mean(dim=(3, 4)), patches=patches)


def build(width=8, gives="tokens"):
    return Convolution(Sizes(width), gives)


def asks(mel_bins, drop_path):
    encoder = build()
    encoder.asked = {"mel_bins": mel_bins, "drop_path": drop_path}
    return encoder


def no_module():
    return 3


def no_depth():
    encoder = build()
    encoder.depth = None
    return encoder


def zero_width():
    encoder = build()
    encoder.width = 0
    return encoder


number = 3
"""


@pytest.fixture(autouse=True)
def adapter_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_encoder.py"
    path.write_text(SOURCE)
    return path


def test_an_adapter_gives_the_tokens_of_the_users_encoder():
    encoder = load_adapter("my_encoder.py:build", {"width": 12})
    assert (encoder.width, encoder.depth) == (12, 2)
    assert (encoder.patch_size, encoder.frequency_patches) == (16, 8)
    spectrogram = torch.rand(3, 1, 32, 128)
    tokens = encoder(spectrogram)
    assert tokens.patches.shape == (2, 3, 12, 2, 8)
    torch.testing.assert_close(tokens.patches[0], encoder.encoder.first(spectrogram))


def test_an_adapter_is_found_by_an_absolute_path_too(adapter_file, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_adapter(f"{adapter_file}:build").width == 8


def test_an_edited_adapter_is_loaded_anew(adapter_file):
    assert load_adapter("my_encoder.py:build").width == 8
    adapter_file.write_text(SOURCE.replace("width=8", "width=9"))
    assert load_adapter("my_encoder.py:build").width == 9


def test_an_adapter_is_written_and_read_back(tmp_path):
    architecture = {"kind": "adapter", "spec": "my_encoder.py:build", "options": {"width": 4}}
    encoder = build_encoder(architecture)
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, encoder, architecture, InputScaling(mean=0.0, scale=1.0, patch_size=16))
    spectrogram = torch.rand(1, 1, 32, 128)
    assert torch.equal(load_encoder(path)(spectrogram).cls, encoder(spectrogram).cls)


def test_the_digest_is_that_of_the_files_bytes():
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    assert adapter_digest("my_encoder.py:build") == digest


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("my_encoder.py", {}, "expected file.py:function, found 'my_encoder.py'"),
        ("my_encoder:build", {}, "expected file.py:function"),
        ("my_encoder.py:", {}, "expected file.py:function"),
        ("absent.py:build", {}, "expected a file absent.py below .*, found none"),
        ("my_encoder.py:absent", {}, "expected a function absent in my_encoder.py, found none"),
        ("my_encoder.py:number", {}, "expected a function number"),
        ("my_encoder.py:build", {"depth": 3}, "unexpected .*'depth'.*its arguments: width, gives"),
        ("my_encoder.py:no_module", {}, "expected a torch.nn.Module, found int"),
        ("my_encoder.py:no_depth", {}, "expected a positive integer depth, found none"),
        ("my_encoder.py:zero_width", {}, "expected a positive integer width, found 0"),
    ],
)
def test_what_is_no_encoder_is_refused_when_it_is_built(spec, options, message):
    with pytest.raises(BatError, match=message):
        load_adapter(spec, options)


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        ("tensor", "expected bat.models.tokens.Tokens, found Tensor"),
        ("half", r"expected patches .*\[2, 1, 8, 2, 8\], found \[2, 1, 8, 2, 4\]"),
    ],
)
def test_what_is_no_tokens_is_refused_when_it_comes_out(gives, message):
    encoder = load_adapter("my_encoder.py:build", {"gives": gives})
    with pytest.raises(BatError, match=message):
        encoder(torch.rand(1, 1, 32, 128))


def test_a_spectrogram_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(BatError, match=r"multiple of 16, mel\], found \[1, 1, 30, 128\]"):
        load_adapter("my_encoder.py:build")(torch.rand(1, 1, 30, 128))


def test_a_file_that_is_no_python_is_refused(adapter_file):
    adapter_file.write_text("def build(:")
    with pytest.raises(BatError, match=r"my_encoder\.py is no valid Python"):
        load_adapter("my_encoder.py:build")


def test_an_adapter_that_does_not_drop_paths_is_not_fine_tuned_with_drop_path():
    message = r"drop_path 0\.1: expected an argument drop_path of the function, found width, gives"
    with pytest.raises(BatError, match=message):
        build_encoder({"kind": "adapter", "spec": "my_encoder.py:build"}, drop_path=0.1)


def test_an_adapter_is_given_what_it_asks_for_and_options_take_precedence():
    architecture = {"kind": "adapter", "spec": "my_encoder.py:asks", "mel_bins": 64}
    asked = {"mel_bins": 64, "drop_path": 0.1}
    assert build_encoder(architecture, drop_path=0.1).encoder.asked == asked
    options = {"options": {"drop_path": 0.3}}
    assert build_encoder(architecture | options).encoder.asked == {**asked, "drop_path": 0.3}


def test_an_adapter_for_other_mel_bins_is_refused():
    encoder = load_adapter("my_encoder.py:build", mel_bins=128)
    with pytest.raises(BatError, match=r"multiple of 16, 128\], found \[1, 1, 32, 64\]"):
        encoder(torch.rand(1, 1, 32, 64))
