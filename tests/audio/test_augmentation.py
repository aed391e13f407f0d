import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, uniform

from bat.audio.augmentation import (
    add_colour_noise,
    add_gaussian_noise,
    mask_bands,
    mixup,
    random_crop,
    roll_batch_in_time,
    roll_in_time,
    roll_waveforms,
)
from bat.errors import BatError


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def spectrograms(clips=6, frames=40, bins=24):
    return torch.rand(clips, 1, frames, bins, generator=seeded(1)) + 0.1


def presence(clips=6, classes=5):
    return (torch.rand(clips, classes, generator=seeded(2)) < 0.4).float()


# Each with everything but its generator given, on data on any device.
AUGMENTATIONS = {
    "roll_waveforms": lambda device, g: roll_waveforms(torch.ones(4, 100, device=device), g),
    "random_crop": lambda device, g: random_crop(torch.ones(4, 100, device=device), 60, g),
    "gaussian": lambda device, g: add_gaussian_noise(torch.ones(4, 100, device=device), 0.1, g),
    "colour": lambda device, g: add_colour_noise(
        torch.ones(4, 100, device=device), probability=0.7, generator=g
    ),
    "roll_in_time": lambda device, g: roll_in_time(torch.ones(4, 1, 30, 8, device=device), g),
    "roll_batch": lambda device, g: roll_batch_in_time(torch.ones(4, 1, 30, 8, device=device), g),
    "mixup": lambda device, g: mixup(
        torch.ones(4, 1, 30, 8, device=device),
        torch.ones(4, 3, device=device),
        probability=0.5,
        generator=g,
    )[0],
    "masks": lambda device, g: mask_bands(
        torch.ones(4, 1, 30, 8, device=device), frequency_bins=3, frames=9, repeats=2, generator=g
    ),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_seed_gives_the_same_clips_again(name):
    torch.manual_seed(0)
    first = AUGMENTATIONS[name]("cpu", seeded(3))
    torch.manual_seed(1)
    assert torch.equal(first, AUGMENTATIONS[name]("cpu", seeded(3)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_draws_do_not_depend_on_the_device(name):
    on_cpu, elsewhere = seeded(), seeded()
    there = AUGMENTATIONS[name]("meta", elsewhere)
    here = AUGMENTATIONS[name]("cpu", on_cpu)
    assert there.device.type == "meta" and there.shape == here.shape
    assert torch.equal(elsewhere.get_state(), on_cpu.get_state())


@given(samples=st.integers(1, 50), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_rolled_waveform_is_a_circular_shift(samples, seed):
    waveform = torch.arange(3.0 * samples).view(3, samples)
    rolled = roll_waveforms(waveform, seeded(seed))
    for before, after in zip(waveform, rolled, strict=True):
        offset = int((before == after[0]).nonzero())
        assert torch.equal(after, before.roll(-offset))


def test_every_waveform_and_clip_is_rolled_by_its_own_offset():
    waveform = torch.arange(1000.0).expand(20, -1)
    assert len(roll_waveforms(waveform, seeded())[:, 0].unique()) > 15
    clips = torch.arange(1000.0).view(1, 1, -1, 1).expand(20, 1, 1000, 3)
    rolled = roll_in_time(clips, seeded())
    assert len(rolled[:, 0, 0, 0].unique()) > 15
    assert torch.equal(rolled.sort(dim=2).values, clips)


def test_offsets_of_a_roll_are_uniform():
    waveform = torch.arange(4.0).expand(4000, -1)
    found = roll_waveforms(waveform, seeded())[:, 0].long().bincount(minlength=4)
    # Three degrees of freedom: 16.3 is exceeded once in a thousand.
    assert float(((found - 1000.0) ** 2 / 1000).sum()) < 16.3


def test_a_batch_is_rolled_by_one_offset():
    clips = spectrograms()
    rolled = roll_batch_in_time(clips, seeded(4))
    offsets = [o for o in range(40) if torch.equal(rolled, clips.roll(-o, dims=2))]
    assert len(offsets) == 1 and offsets != [0]


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), samples=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_crop_is_a_stretch_of_its_waveform_padded_at_the_end(lengths, samples):
    waveforms = [torch.arange(1.0, length + 1) for length in lengths]
    crops = random_crop(waveforms, samples, seeded())
    assert crops.shape == (len(lengths), samples)
    for crop, length in zip(crops, lengths, strict=True):
        kept = min(length, samples)
        assert torch.equal(crop[:kept], crop[0] + torch.arange(kept))
        assert crop[kept - 1] <= length and not crop[kept:].any()


def test_a_crop_may_begin_anywhere_that_it_fits():
    starts = random_crop(torch.arange(10.0).expand(300, -1), 8, seeded())[:, 0]
    assert sorted(set(starts.tolist())) == [0, 1, 2]


def test_gaussian_noise_has_the_wanted_deviation():
    waveform = torch.full((2, 50_000), 0.5)
    added = add_gaussian_noise(waveform, 0.02, seeded()) - waveform
    assert float(added.std()) == pytest.approx(0.02, rel=0.02)
    assert abs(float(added.mean())) < 5e-4
    assert torch.equal(add_gaussian_noise(waveform, 0.0, seeded()), waveform)


def noise_added(clips=100, samples=1 << 14):
    waveform = (
        torch.randn(clips, samples, generator=seeded(7)) * torch.logspace(-2, 0, clips)[:, None]
    )
    noise = add_colour_noise(waveform, probability=1.0, generator=seeded(8)) - waveform
    return waveform, noise


def test_colour_noise_lies_5_to_25_db_below_the_clip():
    waveform, noise = noise_added()
    power = waveform.double().square().mean(dim=1) / noise.double().square().mean(dim=1)
    snr_db = 10 * power.log10()
    assert 4.99 < float(snr_db.min()) < 7 and 23 < float(snr_db.max()) < 25.01
    assert float(snr_db.mean()) == pytest.approx(15, abs=2)


def test_colour_noise_has_a_power_law_spectrum_with_exponents_uniform_in_minus_2_to_2():
    _, noise = noise_added(clips=400, samples=4096)
    power = torch.fft.rfft(noise.double()).abs().square()[:, 1:].numpy()
    frequency = np.log(np.arange(1, power.shape[1] + 1))
    # In the logarithm the bins of a noise scatter evenly about its law: a straight line.
    fits = [np.polyfit(frequency, np.log(clip), 1, full=True) for clip in power]
    exponents = np.array([-fit[0][0] for fit in fits])
    assert kstest(exponents, uniform(-2, 4).cdf).pvalue > 0.01
    assert -2.1 < exponents.min() < -1.9 and 1.9 < exponents.max() < 2.1
    # No curve is left, only the scatter, whose variance is pi^2 / 6.
    scatter = np.array([fit[1][0] for fit in fits]) / power.shape[1]
    assert scatter.mean() == pytest.approx(np.pi**2 / 6, rel=0.02)


def test_colour_noise_has_no_constant_part():
    _, noise = noise_added(clips=4)
    assert float((noise.mean(dim=1).abs() / noise.std(dim=1)).max()) < 1e-4


def test_colour_noise_falls_on_the_wanted_share_of_clips():
    waveform = torch.ones(2000, 8)
    changed = (add_colour_noise(waveform, probability=0.3, generator=seeded()) != 1).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("samples", [1, 2, 999])
def test_silence_stays_silent_under_colour_noise(samples):
    silence = torch.zeros(3, samples)
    assert torch.equal(add_colour_noise(silence, probability=1.0, generator=seeded()), silence)


def test_probability_0_changes_nothing():
    waveform = torch.randn(4, 100)
    assert torch.equal(add_colour_noise(waveform, probability=0.0, generator=seeded()), waveform)
    clips, targets = mixup(spectrograms(), presence(), probability=0.0, generator=seeded())
    assert torch.equal(clips, spectrograms()) and torch.equal(targets, presence())


def test_whether_a_batch_was_mixed_does_not_change_later_draws():
    states = []
    for probability in (0.0, 1.0):
        generator = seeded()
        mixup(spectrograms(), presence(), probability=probability, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_mixup_mixes_a_clip_and_its_targets_with_the_reversed_batch_alike():
    clips, targets = spectrograms(), torch.eye(6)
    mixed, soft = mixup(clips, targets, probability=1.0, generator=seeded(5))
    own = soft.diagonal()
    assert len(own.unique()) == 6 and bool(((own > 0) & (own < 1)).all())
    torch.testing.assert_close(soft, own[:, None] * targets + (1 - own)[:, None] * targets.flip(0))
    own = own[:, None, None, None]
    torch.testing.assert_close(mixed, own * clips + (1 - own) * clips.flip(0))


@given(seed=st.integers(0, 1000), clips=st.integers(1, 7), frames=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_mixed_targets_stay_in_0_to_1(seed, clips, frames):
    shape = (clips, frames, 5) if frames else (clips, 5)
    targets = (torch.rand(shape, generator=seeded(seed)) < 0.5).float()
    _, soft = mixup(spectrograms(clips), targets, probability=1.0, generator=seeded(seed))
    assert soft.shape == targets.shape
    assert float(soft.min()) >= 0 and float(soft.max()) <= 1


def test_mixup_of_identical_clips_is_the_identity():
    clips, targets = spectrograms(1).expand(5, -1, -1, -1), presence(1).expand(5, -1)
    mixed, soft = mixup(clips, targets, probability=1.0, generator=seeded())
    assert torch.equal(mixed, clips) and torch.equal(soft, targets)


def test_shares_of_a_mix_follow_the_beta_distribution():
    targets = torch.cat([torch.ones(4000, 1), torch.zeros(4000, 1)])
    _, soft = mixup(torch.ones(8000, 1, 1, 1), targets, probability=1.0, generator=seeded())
    shares = torch.cat([soft[:4000], 1 - soft[4000:]]).double()
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)).
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.015)
    assert float(shares.var()) == pytest.approx(1 / (4 * 2.6), rel=0.04)


def test_mixup_is_applied_to_the_wanted_share_of_batches():
    generator = seeded()
    clips, targets = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.eye(2)
    mixed = [
        not torch.equal(mixup(clips, targets, probability=0.9, generator=generator)[0], clips)
        for _ in range(1000)
    ]
    assert sum(mixed) / 1000 == pytest.approx(0.9, abs=0.03)


@given(
    bins=st.integers(0, 24),
    frames=st.integers(0, 40),
    repeats=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_masks_are_whole_bands_no_wider_than_allowed(bins, frames, repeats, seed):
    clips = spectrograms()
    masked = mask_bands(
        clips, frequency_bins=bins, frames=frames, repeats=repeats, generator=seeded(seed)
    )
    zero = masked[:, 0] == 0
    all_bins, all_frames = zero.all(dim=1), zero.all(dim=2)  # [B, F], [B, T]
    if not (all_bins.all(dim=1) | all_frames.all(dim=1)).any():
        assert int(all_bins.sum(dim=1).max()) <= bins * repeats
        assert int(all_frames.sum(dim=1).max()) <= frames * repeats
        assert torch.equal(zero, all_bins[:, None, :] | all_frames[:, :, None])
    assert torch.equal(masked[:, 0][~zero], clips[:, 0][~zero])


def test_widths_and_places_of_a_mask_are_uniform():
    clips = torch.ones(6000, 1, 7, 4)
    masked = mask_bands(clips, frequency_bins=3, frames=0, repeats=1, generator=seeded())
    hidden = masked[:, 0, 0] == 0  # [B, F]
    width = hidden.sum(dim=1)
    found = width.bincount(minlength=4)
    assert len(found) == 4
    # Three degrees of freedom: 16.3 is exceeded once in a thousand.
    assert float(((found - 1500.0) ** 2 / 1500).sum()) < 16.3
    starts = hidden[width == 1].int().argmax(dim=1).bincount(minlength=4)
    expected = float(starts.sum()) / 4
    assert float(((starts - expected) ** 2 / expected).sum()) < 16.3


def test_each_clip_and_each_repeat_has_masks_of_its_own():
    masked = mask_bands(
        torch.ones(50, 1, 60, 40), frequency_bins=5, frames=6, repeats=3, generator=seeded()
    )
    bins = (masked[:, 0] == 0).all(dim=1)
    assert len(bins.unique(dim=0)) > 40
    edges = (bins.int().diff(dim=1) == 1).sum(dim=1)
    assert int(edges.max()) >= 2


def test_the_input_is_not_changed():
    clips, waveform = spectrograms(), torch.randn(3, 50)
    before = clips.clone(), waveform.clone()
    mask_bands(clips, frequency_bins=9, frames=9, repeats=2, generator=seeded())
    mixup(clips, presence(), probability=1.0, generator=seeded())
    add_colour_noise(waveform, probability=1.0, generator=seeded())
    assert torch.equal(clips, before[0]) and torch.equal(waveform, before[1])


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            lambda g: roll_waveforms(torch.ones(5), g),
            r"\[B, samples\], found torch.float32 .*\[5\]",
        ),
        (lambda g: add_gaussian_noise(torch.ones(2, 5).short(), 1.0, g), "found torch.int16"),
        (lambda g: roll_in_time(torch.ones(2, 5, 4), g), r"\[B, 1, T, F\], found .*\[2, 5, 4\]"),
        (lambda g: roll_batch_in_time(torch.ones(2, 3, 5, 4), g), r"found .*\[2, 3, 5, 4\]"),
        (lambda g: random_crop([], 5, g), "at least one waveform, found none"),
        (lambda g: random_crop(torch.ones(9), 5, g), r"\[samples\], found .*\[\]"),
        (
            lambda g: mixup(spectrograms(), torch.arange(6), probability=1.0, generator=g),
            r"\[6, ..., C\], found torch.int64 of shape \[6\]",
        ),
        (
            lambda g: mixup(spectrograms(), presence(5), probability=1.0, generator=g),
            r"found torch.float32 of shape \[5, 5\]",
        ),
        (
            lambda g: mask_bands(
                spectrograms(), frequency_bins=16, frames=64, repeats=1, generator=g
            ),
            "at least 64 frames and 16 frequency bins, found 40 and 24",
        ),
    ],
)
def test_data_of_the_wrong_shape_is_refused(augment, message):
    with pytest.raises(BatError, match=message):
        augment(seeded())
