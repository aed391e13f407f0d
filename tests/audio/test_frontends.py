from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from bat.audio import frontends
from bat.audio.frontends import (
    BATFrontend,
    LegacyFrontend,
    frame_statistics,
    kaldi_filter_banks,
    pad_frames,
    pad_waveform,
)
from bat.errors import BatError

GOLDEN = Path(__file__).parents[1] / "golden"
AUDIOSET_EAT = {"mean": -4.59864076, "std": 4.357353477}
AUDIOSET_BEATS = {"mean": 15.41663, "std": 6.55582}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def waveform():
    return torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1


def reference(case):
    return pytest.param(
        case,
        marks=pytest.mark.skipif(
            not (GOLDEN / f"{case}.safetensors").is_file(), reason=f"{case}: not in tests/golden"
        ),
    )


# What the paper does around the front end: silence added before it, frames after it.
CONTEXTS = {
    "frontend_pretrain": {"samples": 0, "min_frames": 1024},
    "frontend_audioset_downstream": {"samples": 163_680, "min_frames": 0},
    "frontend_esc50": {"samples": 0, "min_frames": 0},
    "frontend_speech_commands": {"samples": 16_000, "min_frames": 0},
}


@pytest.mark.parametrize("case", [reference(case) for case in CONTEXTS])
def test_bat_front_end_agrees_with_the_published_method(case):
    golden, context = load_file(GOLDEN / f"{case}.safetensors"), CONTEXTS[case]
    waveform = pad_waveform(golden["waveform"], context["samples"])
    found = pad_frames(frontends.build("bat")(waveform), min_frames=context["min_frames"])
    assert found.shape == golden["spectrogram"].shape
    assert (found - golden["spectrogram"]).abs().max() <= 1e-4


@pytest.mark.parametrize(
    ("name", "tensor", "statistics"),
    [("legacy", "eat", AUDIOSET_EAT), ("beats", "beats", AUDIOSET_BEATS)],
)
def test_legacy_front_ends_agree_with_the_published_method(name, tensor, statistics):
    golden = load_file(GOLDEN / "frontend_legacy.safetensors")
    found = frontends.build(name, **statistics)(golden["waveform"])
    assert found.shape == (1, 1, 998, 128)
    assert (found[0, 0] - golden[tensor]).abs().max() <= 1e-4
    assert pad_frames(found, min_frames=1024).shape == (1, 1, 1024, 128)


@pytest.mark.parametrize(
    ("window", "subtract_mean", "scale", "tensor", "statistics"),
    [
        ("hanning", True, 1.0, "eat", AUDIOSET_EAT),
        ("povey", False, 2.0**15, "beats", AUDIOSET_BEATS),
    ],
)
def test_filter_banks_agree_before_they_are_standardised(
    window, subtract_mean, scale, tensor, statistics
):
    golden = load_file(GOLDEN / "frontend_legacy.safetensors")
    found = kaldi_filter_banks(
        golden["waveform"], window=window, subtract_mean=subtract_mean, scale=scale
    )
    expected = golden[tensor] * 2 * statistics["std"] + statistics["mean"]
    assert (found[0, 0] - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("frontend", [BATFrontend(), LegacyFrontend(**AUDIOSET_EAT)])
def test_a_clips_spectrogram_does_not_depend_on_its_batch(frontend, waveform):
    loud = waveform * torch.tensor([[1.0], [0.01], [5.0]])
    together = frontend(loud)
    for index in range(3):
        torch.testing.assert_close(
            together[index], frontend(loud[index : index + 1])[0], rtol=0, atol=1e-6
        )


def test_bat_spectrogram_spans_0_to_1_and_ignores_the_level(waveform):
    frontend = BATFrontend()
    found = frontend(waveform)
    assert found.amin() == 0
    assert found.amax() == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(frontend(waveform * 0.1), found, rtol=0, atol=1e-4)


def test_bat_keeps_no_more_than_top_db(waveform):
    # One loud instant: everything that is 20 dB softer lands on 0.
    waveform[:, 8000] = 50.0
    kept = (BATFrontend(top_db=80.0)(waveform) > 0).float().mean()
    assert (BATFrontend(top_db=20.0)(waveform) > 0).float().mean() < kept / 5


def test_silence_gives_zeros():
    assert not BATFrontend()(torch.zeros(1, 16_000)).any()
    assert torch.isfinite(LegacyFrontend(**AUDIOSET_EAT)(torch.zeros(1, 16_000))).all()


def tone(rate_hz, duration_s, frequency_hz):
    time_s = torch.arange(int(rate_hz * duration_s)) / rate_hz
    return torch.sin(2 * torch.pi * frequency_hz * time_s).unsqueeze(0)


@pytest.mark.parametrize("frequency_hz", [440.0, 3000.0, 7500.0])
def test_birds_at_32_khz_have_the_same_frames_and_mel_filters(frequency_hz):
    birds = BATFrontend(rate_hz=32_000, n_fft=2048, hop=320)(tone(32_000, 5, frequency_hz))
    assert birds.shape == (1, 1, 501, 128)
    assert pad_frames(birds).shape == (1, 1, 512, 128)
    usual = BATFrontend()(tone(16_000, 5, frequency_hz))
    assert torch.equal(birds[0, 0, 250].argmax(), usual[0, 0, 250].argmax())


def test_the_highest_frequency_of_the_filters_decides_what_is_loudest():
    both = tone(32_000, 1, 1000.0) + 3 * tone(32_000, 1, 12_000.0)
    loudest = {
        f_max_hz: int(
            BATFrontend(rate_hz=32_000, n_fft=2048, hop=320, f_max_hz=f_max_hz)(both)[
                0, 0, 50
            ].argmax()
        )
        for f_max_hz in (8_000.0, 16_000.0)
    }
    # Mel bins of 1 kHz and of 12 kHz.
    assert loudest[8_000.0] < 50 and loudest[16_000.0] > 100


@given(samples=st.integers(513, 6000), patch=st.sampled_from([8, 16]))
@settings(max_examples=30, deadline=None)
def test_any_length_gives_the_frames_that_it_should(samples, patch):
    waveform = torch.randn(2, samples)
    spectrogram = BATFrontend()(waveform)
    assert spectrogram.shape == (2, 1, 1 + samples // 160, 128)
    banks = kaldi_filter_banks(waveform)
    assert banks.shape == (2, 1, 1 + (samples - 400) // 160, 128)
    assert pad_frames(banks, patch).shape[2] % patch == 0


@pytest.mark.parametrize("window", ["hanning", "povey"])
def test_filter_banks_see_no_further_than_their_window(waveform, window):
    longer = kaldi_filter_banks(waveform, window=window, subtract_mean=False)
    shorter = kaldi_filter_banks(waveform[:, :5000], window=window, subtract_mean=False)
    torch.testing.assert_close(longer[:, :, : shorter.shape[2]], shorter, rtol=0, atol=1e-5)


def test_frames_are_padded_to_whole_patches_with_zeros():
    spectrogram = torch.ones(2, 1, 1001, 8)
    assert pad_frames(spectrogram).shape[2] == 1008
    padded = pad_frames(spectrogram, min_frames=1024)
    assert padded.shape[2] == 1024
    assert padded[:, :, :1001].eq(1).all() and padded[:, :, 1001:].eq(0).all()
    assert pad_frames(torch.ones(2, 1, 112, 8)).shape[2] == 112
    assert pad_frames(torch.ones(2, 1, 101, 8), 8).shape[2] == 104


def test_a_padded_waveform_of_audioset_has_1024_frames():
    assert BATFrontend()(pad_waveform(torch.randn(1, 160_000), 163_680)).shape[2] == 1024
    assert pad_waveform(torch.ones(1, 5), 3).shape == (1, 5)


def test_frame_statistics_are_those_of_all_values_together(waveform):
    banks = kaldi_filter_banks(waveform)
    mean, std = frame_statistics(banks.split([1, 2]))
    assert mean == pytest.approx(float(banks.double().mean()), abs=1e-9)
    assert std == pytest.approx(float(banks.double().std(correction=0)), abs=1e-9)


def test_measured_statistics_standardise_to_half_a_unit(waveform):
    mean, std = frame_statistics([kaldi_filter_banks(waveform)])
    found = LegacyFrontend(mean=mean, std=std)(waveform)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(found.std()) == pytest.approx(0.5, abs=1e-4)


def test_statistics_of_nothing_are_refused():
    with pytest.raises(BatError, match="at least one spectrogram"):
        frame_statistics([])


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("mel", {}, "expected one of"),
        ("bat", {"hops": 160}, "hops"),
        ("legacy", {}, "mean"),
        ("legacy", {"mean": 0.0, "std": 0.0}, "std must be above 0"),
    ],
)
def test_a_wrong_front_end_is_refused_by_name(name, parameters, message):
    with pytest.raises(BatError, match=message):
        frontends.build(name, **parameters)


@pytest.mark.parametrize("frontend", [BATFrontend(), LegacyFrontend(**AUDIOSET_EAT)])
@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(16_000), r"waveform \[B, samples\], found torch.float32 of shape \[16000\]"),
        (torch.zeros(2, 1, 16_000), r"found torch.float32 of shape \[2, 1, 16000\]"),
        (torch.zeros(1, 16_000, dtype=torch.int16), "floating-point .*found torch.int16"),
        (torch.zeros(1, 100), r"at least (513|400) samples, found 100"),
    ],
)
def test_a_waveform_of_the_wrong_shape_or_type_is_refused(frontend, waveform, message):
    with pytest.raises(BatError, match=message):
        frontend(waveform)


def test_padding_refuses_the_wrong_shape():
    with pytest.raises(BatError, match=r"spectrogram \[B, 1, T, F\], found shape \[2, 40, 128\]"):
        pad_frames(torch.zeros(2, 40, 128))
    with pytest.raises(BatError, match=r"waveform \[B, samples\], found .* shape \[40\]"):
        pad_waveform(torch.zeros(40), 50)
