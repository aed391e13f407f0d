import pytest
import torch

from bat.errors import BatError
from bat.models.decoders import CNNDecoder, ViTDecoder

GRID = (3, 4)
VISIBLE, KEEP = torch.randn(2, 5, 16), torch.tensor([[0, 2, 3, 7, 11], [1, 2, 4, 5, 6]])


def test_a_narrow_decoder_returns_to_the_encoders_width():
    decoder = ViTDecoder(width=16, depth=1, heads=2, mlp_ratio=2.0, grid=GRID, decoder_width=8)
    assert decoder(VISIBLE, KEEP).shape == (2, 12, 16)
    assert "in_proj.weight" in decoder.state_dict()


def test_a_decoder_of_equal_width_has_no_input_projection():
    decoder = ViTDecoder(width=16, depth=1, heads=2, mlp_ratio=2.0, grid=GRID)
    assert not any(name.startswith("in_proj") for name in decoder.state_dict())
    assert "out_proj.bias" not in decoder.state_dict()


def test_order_of_visible_tokens_does_not_matter():
    decoder = ViTDecoder(width=16, depth=1, heads=2, mlp_ratio=2.0, grid=GRID)
    torch.testing.assert_close(decoder(VISIBLE.flip(1), KEEP.flip(1)), decoder(VISIBLE, KEEP))


def test_convolutional_decoder_equals_its_definition_written_out():
    decoder = CNNDecoder(width=16, depth=2, grid=GRID, groups=4)
    found = decoder(VISIBLE, KEEP, torch.Generator().manual_seed(1))

    full = torch.empty(2, 12, 16).normal_(0, 0.01, generator=torch.Generator().manual_seed(1))
    for sample in range(2):
        full[sample, KEEP[sample]] = VISIBLE[sample]
    image = full.transpose(1, 2).reshape(2, 16, *GRID)
    for convolution in decoder.convolutions:
        mixed = convolution(image)
        mean, variance = mixed.mean(1, keepdim=True), mixed.var(1, keepdim=True, correction=0)
        normalised = (mixed - mean) / (variance + 1e-5).sqrt()
        image = image + torch.nn.functional.gelu(normalised)
    torch.testing.assert_close(found, decoder.out_proj(image.flatten(2).transpose(1, 2)))


def test_convolutional_decoder_refuses_a_width_its_groups_do_not_divide():
    with pytest.raises(BatError, match="divisible by 16 groups, found kernel 3 and width 24"):
        CNNDecoder(width=24, depth=1, grid=GRID)
