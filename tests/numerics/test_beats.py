import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.errors import BatError
from bat.models.beats import BeatsEncoder, ConvolutionalPositions, relative_buckets
from numerics.conformance import below, load_case, relative_error


def tiny(**options) -> BeatsEncoder:
    sizes = {"width": 16, "depth": 2, "heads": 2, "mlp_width": 24, "patch_width": 12}
    positions = {"position_kernel": 6, "position_groups": 4, "buckets": 16, "maximum_distance": 20}
    return BeatsEncoder(**{**sizes, **positions, "grid_time_patches": 4, **options}).eval()


def test_tokens_equal_the_reference():
    tensors, meta = load_case("encoder_beats_256")
    encoder = BeatsEncoder(
        width=meta["dim"],
        depth=meta["depth"],
        heads=meta["num_heads"],
        mlp_width=meta["ffn_dim"],
        patch_width=meta["patch_embed_dim"],
        position_kernel=meta["conv_pos"],
        position_groups=meta["conv_pos_groups"],
        buckets=meta["num_buckets"],
        maximum_distance=meta["max_distance"],
    ).eval()
    encoder.load_state_dict(below(tensors, "state."), strict=True)
    with torch.no_grad():
        tokens = encoder(tensors["spectrogram"])
    assert relative_error(tokens.cls, tensors["cls_tokens"]) < 1e-5
    assert relative_error(tokens.patches, tensors["patch_tokens"]) < 1e-5


@settings(max_examples=12, deadline=None)
@given(
    heads=st.integers(1, 3),
    head_width=st.sampled_from([4, 8]),
    depth=st.integers(1, 3),
    kernel=st.integers(1, 9),
    groups=st.sampled_from([1, 2, 4]),
    time=st.integers(1, 6),
)
def test_any_sizes_give_tokens_of_those_sizes(heads, head_width, depth, kernel, groups, time):
    encoder = tiny(
        width=heads * head_width,
        heads=heads,
        depth=depth,
        position_kernel=kernel,
        position_groups=groups,
    )
    with torch.no_grad():
        tokens = encoder(torch.rand(2, 1, time * 16, 128))
    assert tokens.patches.shape == (depth, 2, heads * head_width, time, 8)
    assert tokens.patches.isfinite().all()


def test_the_mean_patch_takes_the_place_of_cls():
    with torch.no_grad():
        tokens = tiny()(torch.rand(2, 1, 64, 128))
    torch.testing.assert_close(tokens.cls, tokens.patches.mean(dim=(3, 4)))


def test_a_long_clip_is_encoded_in_chunks_of_the_grid():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 6 * 16, 128)
    with torch.no_grad():
        whole = encoder(spectrogram)
        first, second = encoder(spectrogram[:, :, :64]), encoder(spectrogram[:, :, 64:])
    torch.testing.assert_close(whole.cls, (first.cls + second.cls) / 2)
    torch.testing.assert_close(whole.patches, torch.cat([first.patches, second.patches], dim=3))


def test_buckets_count_near_distances_and_share_far_ones():
    buckets = relative_buckets(60, buckets=32, maximum_distance=40)
    assert buckets[0, :9].tolist() == [0, *range(17, 25)]
    assert buckets[:8, 0].tolist() == list(range(8))
    assert (buckets[0, 40:] == 31).all()
    assert (buckets[40:, 0] == 15).all()
    halfway = 8 + math.floor(8 * math.log(20 / 8) / math.log(40 / 8))
    assert buckets[20, 0] == halfway


@settings(max_examples=30, deadline=None)
@given(quarter=st.integers(1, 20), beyond=st.integers(1, 200), tokens=st.integers(1, 80))
def test_buckets_grow_with_distance_and_tell_before_from_after(quarter, beyond, tokens):
    found = relative_buckets(tokens, buckets=4 * quarter, maximum_distance=quarter + beyond)
    before, after = found[:, 0], found[0]
    assert (before.diff() >= 0).all()
    assert (after[1:].diff() >= 0).all()
    assert torch.equal(after[1:] - 2 * quarter, before[1:])
    assert found.max() < 4 * quarter


def test_convolutional_positions_are_a_weight_normalised_convolution():
    positions = ConvolutionalPositions(width=8, kernel=4, groups=2)
    with torch.no_grad():
        positions.weight_g.uniform_(0.5, 1.5)
    plain = torch.nn.Conv1d(8, 8, 4, padding=2, groups=2)
    normalised = torch.nn.utils.parametrizations.weight_norm(plain, dim=2)
    normalised.parametrizations.weight.original0.data = positions.weight_g.data
    normalised.parametrizations.weight.original1.data = positions.weight_v.data
    normalised.bias.data = positions.bias.data
    x = torch.randn(2, 7, 8)
    expected = torch.nn.functional.gelu(normalised(x.transpose(1, 2))[..., :-1]).transpose(1, 2)
    torch.testing.assert_close(positions(x), expected)


def test_all_blocks_share_one_table_of_position_biases():
    encoder = tiny(depth=3)
    tables = [n for n in encoder.state_dict() if n.endswith("relative_attention_bias.weight")]
    assert len(tables) == 3
    assert sum("relative_attention_bias" in name for name, _ in encoder.named_parameters()) == 1


def test_released_size_has_the_papers_ninety_million_parameters():
    with torch.device("meta"):
        encoder = BeatsEncoder(width=768, depth=12, heads=12, mlp_width=3072, patch_width=512)
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6) == 90


def test_drop_path_acts_in_training_only():
    encoder, spectrogram = tiny(drop_path=0.9), torch.rand(4, 1, 64, 128)
    with torch.no_grad():
        evaluated = encoder(spectrogram).cls
        torch.testing.assert_close(encoder(spectrogram).cls, evaluated)
        assert not torch.allclose(encoder.train()(spectrogram).cls, evaluated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "width 16 is not divisible by 3 heads"),
        ({"position_groups": 3}, "width 16 is not divisible by 3 groups"),
        ({"buckets": 10}, "multiple of 4 buckets .* found 10 buckets"),
        ({"maximum_distance": 4}, "found 16 buckets and maximum distance 4"),
        ({"mel_bins": 120}, "120 mel bins are no multiple of patch 16"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(options, message):
    with pytest.raises(BatError, match=message):
        tiny(**options)


@pytest.mark.parametrize("shape", [(2, 64, 128), (2, 1, 60, 128), (2, 1, 0, 128), (2, 1, 64, 64)])
def test_a_spectrogram_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(BatError, match=r"expected .*128.*found \["):
        tiny()(torch.rand(shape))
