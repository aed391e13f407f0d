import pytest
import torch

from bat.errors import BatError
from bat.models.blocks import attend
from bat.models.encoder import VIT_SIZES, AudioTransformer
from numerics.conformance import below, load_case, relative_error


def tiny(**options) -> AudioTransformer:
    settings = {"width": 16, "depth": 2, "heads": 2, "grid_time_patches": 4, **options}
    return AudioTransformer(**settings).eval()


@pytest.mark.parametrize("case", ["encoder_bat_256", "encoder_eat_256"])
def test_tokens_equal_the_reference(case):
    tensors, meta = load_case(case)
    encoder = AudioTransformer(
        width=meta["dim"],
        depth=meta["depth"],
        heads=meta["num_heads"],
        mlp_ratio=meta["mlp_ratio"],
        gated=meta["gated"],
    )
    built = encoder.pos_embed.clone()
    encoder.load_state_dict(below(tensors, "state."), strict=True)
    assert relative_error(built, tensors["state.pos_embed"]) < 1e-6
    with torch.no_grad():
        tokens = encoder.eval()(tensors["spectrogram"])
    assert relative_error(tokens.cls, tensors["cls_tokens"]) < 1e-5
    assert relative_error(tokens.patches, tensors["patch_tokens"]) < 1e-5


def test_base_size_has_the_papers_number_of_parameters():
    size = VIT_SIZES["B"]
    with torch.device("meta"):
        encoder = AudioTransformer(width=size.width, depth=size.depth, heads=size.heads)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert round(count / 1e6, 2) == 92.73


def test_positions_are_not_trained_and_xavier_initialises_the_rest():
    encoder = tiny()
    assert not encoder.pos_embed.requires_grad
    assert encoder.blocks[0].mlp.fc1.bias.abs().max() == 0
    assert encoder.patch_embed.proj.weight.abs().max() <= (6 / (16 + 256)) ** 0.5


def test_frequency_major_rows_are_the_time_major_table_transposed():
    time_major = tiny(position_order="time-major").pos_embed.view(4, 8, 16)
    frequency_major = tiny(position_order="frequency-major").pos_embed.view(8, 4, 16)
    torch.testing.assert_close(frequency_major.transpose(0, 1), time_major)


def test_a_long_clip_is_encoded_in_chunks_of_the_position_grid():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 6 * 16, 128)
    with torch.no_grad():
        whole = encoder(spectrogram)
        first, second = encoder(spectrogram[:, :, :64]), encoder(spectrogram[:, :, 64:])
    assert whole.patches.shape == (2, 2, 16, 6, 8)
    torch.testing.assert_close(whole.cls, (first.cls + second.cls) / 2)
    torch.testing.assert_close(whole.patches, torch.cat([first.patches, second.patches], dim=3))


def test_visible_tokens_of_a_view_that_keeps_everything_are_the_whole_clips_tokens():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 64, 128)
    keep = torch.arange(32).expand(2, 3, 32)
    with torch.no_grad():
        cls, patches = encoder.encode_visible(spectrogram, keep)
        tokens = encoder(spectrogram)
        outputs = encoder.block_outputs(spectrogram)
    for view in range(3):
        torch.testing.assert_close(cls[:, view], tokens.cls[-1])
        torch.testing.assert_close(patches[:, view], outputs[-1])
    torch.testing.assert_close(outputs, tokens.patches.flatten(3).transpose(2, 3))


def test_mlp_target_is_the_mlps_output_before_residual_and_norm():
    encoder, spectrogram = tiny(), torch.rand(2, 1, 64, 128)
    seen = []
    encoder.blocks[1].mlp.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        outputs = encoder.block_outputs(spectrogram, "mlp")
    torch.testing.assert_close(outputs[1], seen[0][:, 1:])


def test_attention_maps_are_distributions_over_all_tokens():
    maps = tiny().attention(torch.rand(2, 1, 64, 128))
    assert maps.shape == (2, 2, 2, 33, 33)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 2, 33))


def test_short_sequences_attend_as_the_fused_kernel_does():
    queries, keys, values = torch.randn(3, 2, 4, 40, 8, dtype=torch.float64)
    fused = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(attend(queries, keys, values), fused)


def test_drop_path_grows_linearly_and_acts_in_training_only():
    encoder = tiny(depth=3, drop_path=0.2)
    assert [block.drop_path.drop_prob for block in encoder.blocks] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize("shape", [(2, 64, 128), (2, 2, 64, 128), (2, 1, 60, 128), (2, 1, 64, 64)])
def test_a_spectrogram_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(BatError, match=r"expected .*128.*found \["):
        tiny()(torch.rand(shape))


def test_pretraining_refuses_clips_longer_than_the_position_grid():
    with pytest.raises(BatError, match="at most 4 time patches"):
        tiny().block_outputs(torch.rand(1, 1, 80, 128))
