"""Augmentation of waveforms and spectrograms during training.

Every function draws on a CPU generator and moves what it drew to the data's device, so that one
seed gives the same training clips everywhere. None changes its input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bat.errors import BatError

# Colour noise: the power at frequency f falls as f^-exponent (2 brown, 0 white, -2 violet).
_LOWEST_EXPONENT, _HIGHEST_EXPONENT = -2.0, 2.0
_LOWEST_SNR_DB, _HIGHEST_SNR_DB = 5.0, 25.0


def roll_waveforms(waveform_BS: Tensor, generator: torch.Generator) -> Tensor:
    """Roll every waveform by its own random number of samples, circularly.

    Parameters
    ----------
    waveform_BS : Tensor [B, samples]
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the waveform is not [B, samples].
    """
    _expect(waveform_BS, "B, samples")
    return _roll_each(waveform_BS, generator)


def random_crop(
    waveforms: Sequence[Tensor] | Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    """Cut a random stretch out of every waveform; a shorter one is zero-padded at its end.

    Parameters
    ----------
    waveforms : Tensor [B, S], or sequence of Tensor [S] of any lengths
    samples : int
        Length of a stretch; it begins anywhere in 0..S - samples, equally likely.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor [B, samples]

    Raises
    ------
    BatError
        If there is no waveform, or one is not [S].
    """
    if len(waveforms) == 0:
        raise BatError("random crop: expected at least one waveform, found none")
    crops = []
    for waveform in waveforms:
        _expect(waveform, "samples")
        starts = max(0, len(waveform) - samples) + 1
        start = int(torch.randint(starts, (), generator=generator))
        crop = waveform[start : start + samples]
        crops.append(torch.nn.functional.pad(crop, (0, samples - len(crop))))
    return torch.stack(crops)


def add_gaussian_noise(waveform_BS: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise of a fixed standard deviation (0.02 in HSN training).

    Parameters
    ----------
    waveform_BS : Tensor [B, samples]
        In [-1, 1].
    scale : float
        Standard deviation of the noise, in the waveform's unit.
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the waveform is not [B, samples].
    """
    _expect(waveform_BS, "B, samples")
    noise = torch.randn(waveform_BS.shape, generator=generator)
    return waveform_BS + scale * noise.to(waveform_BS)


def add_colour_noise(
    waveform_BS: Tensor, *, probability: float, generator: torch.Generator
) -> Tensor:
    """Add noise with a power-law spectrum to some of the waveforms.

    Each clip is chosen with the given probability; its noise has a power spectrum f^-exponent
    without constant part, exponent uniform in [-2, 2], and lies 5 to 25 dB (uniform) below the
    clip in mean power. A silent clip stays silent.

    Parameters
    ----------
    waveform_BS : Tensor [B, samples]
    probability : float
        Of each clip; noise is only drawn for those chosen.
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the waveform is not [B, samples].
    """
    _expect(waveform_BS, "B, samples")
    clips, samples = waveform_BS.shape
    chosen = (torch.rand(clips, generator=generator) < probability).nonzero().squeeze(1)
    if len(chosen) == 0:
        return waveform_BS
    exponent = _uniform(len(chosen), _LOWEST_EXPONENT, _HIGHEST_EXPONENT, generator)
    snr_db = _uniform(len(chosen), _LOWEST_SNR_DB, _HIGHEST_SNR_DB, generator)
    white = torch.randn(len(chosen), samples, generator=generator)

    chosen = chosen.to(waveform_BS.device)
    heard = waveform_BS[chosen]
    noise = _coloured(white.to(heard.device), exponent.to(heard.device)).to(heard)
    level = _rms(heard) * 10 ** (-snr_db[:, None].to(heard) / 20)
    return waveform_BS.index_copy(0, chosen, heard + level * noise)


def roll_in_time(spectrogram: Tensor, generator: torch.Generator) -> Tensor:
    """Roll every clip by its own random number of frames, circularly.

    On cached spectrograms this stands for the paper's roll of the waveform: both move the content
    in time; they differ only in the frames at the seam.

    Parameters
    ----------
    spectrogram : Tensor [B, 1, T, F]
        Before padding.
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the spectrogram is not [B, 1, T, F].
    """
    _expect(spectrogram, "B, 1, T, F")
    return _roll_each(spectrogram.squeeze(1), generator).unsqueeze(1)


def roll_batch_in_time(spectrogram: Tensor, generator: torch.Generator) -> Tensor:
    """Roll all clips by one random number of frames, circularly: the paper's fine-tuning.

    Parameters
    ----------
    spectrogram : Tensor [B, 1, T, F]
        Before padding.
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the spectrogram is not [B, 1, T, F].
    """
    _expect(spectrogram, "B, 1, T, F")
    frames = spectrogram.shape[2]
    offset = int(torch.randint(frames, (), generator=generator))
    return spectrogram.roll(-offset, dims=2)


def mixup(
    spectrogram: Tensor,
    targets: Tensor,
    *,
    probability: float,
    alpha: float = 0.8,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Mix every clip, and its targets, with its partner in the reversed batch.

    Each clip keeps a share of its own, drawn from Beta(alpha, alpha), and takes the rest from its
    partner. The batch is mixed as a whole or not at all: the partner of a clip is given by its
    place in the batch, and the paper names only the share per sample.

    Parameters
    ----------
    spectrogram : Tensor [B, 1, T, F]
    targets : Tensor [B, C] or [B, T, C]
        Class presence as a floating-point number in [0, 1].
    probability : float
        That the batch is mixed. As much is drawn from the generator either way.
    alpha : float
        Below 1, most shares lie near 0 or 1.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    tuple of Tensor
        Spectrogram and soft targets in [0, 1], in the shapes of the input.

    Raises
    ------
    BatError
        If the spectrogram is not [B, 1, T, F] or the targets are not floating-point
        presences of as many clips.
    """
    _expect(spectrogram, "B, 1, T, F")
    clips = len(spectrogram)
    if not targets.is_floating_point() or targets.ndim < 2 or len(targets) != clips:
        raise BatError(
            f"mixup: expected floating-point targets of shape [{clips}, ..., C], "
            f"found {targets.dtype} of shape {list(targets.shape)}"
        )
    applied = float(torch.rand((), generator=generator)) < probability
    own = _beta(clips, alpha, generator)
    if not applied:
        return spectrogram, targets
    return _mix_with_reversed(spectrogram, own), _mix_with_reversed(targets, own).clamp(0.0, 1.0)


def mask_bands(
    spectrogram: Tensor,
    *,
    frequency_bins: int,
    frames: int,
    repeats: int,
    generator: torch.Generator,
) -> Tensor:
    """Set random bands of frequencies and stretches of time to zero, independently per clip.

    The width of each band is uniform in 0..its maximum, its place uniform among those that fit.

    Parameters
    ----------
    spectrogram : Tensor [B, 1, T, F]
    frequency_bins, frames : int
        Greatest width of a band along F and along T.
    repeats : int
        Bands of each kind per clip; they may overlap.
    generator : torch.Generator
        On the CPU.

    Raises
    ------
    BatError
        If the spectrogram is not [B, 1, T, F] or smaller than a mask.
    """
    _expect(spectrogram, "B, 1, T, F")
    clips, _, all_frames, all_bins = spectrogram.shape
    if frequency_bins > all_bins or frames > all_frames:
        raise BatError(
            f"masks: expected at least {frames} frames and {frequency_bins} frequency bins, "
            f"found {all_frames} and {all_bins}"
        )
    bins_BF = _bands(clips, all_bins, frequency_bins, repeats, generator)
    frames_BT = _bands(clips, all_frames, frames, repeats, generator)
    masked = bins_BF[:, None, None, :] | frames_BT[:, None, :, None]
    return spectrogram.masked_fill(masked.to(spectrogram.device), 0.0)


def _roll_each(clips: Tensor, generator: torch.Generator) -> Tensor:
    """Roll each clip of [B, T, ...] backwards along T by its own offset in 0..T-1."""
    offsets = torch.randint(clips.shape[1], (len(clips), 1), generator=generator).squeeze(1)
    rolled = [
        clip.roll(-offset, dims=0) for clip, offset in zip(clips, offsets.tolist(), strict=True)
    ]
    return torch.stack(rolled)


def _uniform(count: int, lowest: float, highest: float, generator: torch.Generator) -> Tensor:
    return lowest + (highest - lowest) * torch.rand(count, generator=generator)


def _beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Draw from Beta(alpha, alpha), for which torch offers no generator: NumPy's, seeded here."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count))


def _coloured(white_BS: Tensor, exponent_B: Tensor) -> Tensor:
    """Shape white noise to the power spectrum f^-exponent, f > 0, and to unit power."""
    spectrum = torch.fft.rfft(white_BS)
    harmonic = torch.arange(spectrum.shape[1], device=white_BS.device)
    amplitude = harmonic.clamp_min(1) ** (-exponent_B[:, None] / 2) * (harmonic > 0)
    noise: Tensor = torch.fft.irfft(spectrum * amplitude, n=white_BS.shape[1])
    # One sample has no frequency but 0: its noise is zero, and stays so.
    return noise / _rms(noise).clamp_min(torch.finfo(noise.dtype).tiny)


def _rms(waveform_BS: Tensor) -> Tensor:
    return waveform_BS.square().mean(dim=1, keepdim=True).sqrt()


def _mix_with_reversed(values: Tensor, own_B: Tensor) -> Tensor:
    own = own_B.to(values).view(-1, *[1] * (values.ndim - 1))
    return torch.lerp(values.flip(0), values, own)


def _bands(clips: int, size: int, widest: int, repeats: int, generator: torch.Generator) -> Tensor:
    """Draw bands on an axis; return whether each place is inside one, [clips, size] bool."""
    width = torch.randint(widest + 1, (clips, repeats), generator=generator)
    place = torch.rand(clips, repeats, generator=generator, dtype=torch.float64)
    start = (place * (size - width + 1)).long()
    position = torch.arange(size)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])
    return inside.any(dim=1)


def _expect(values: Tensor, layout: str) -> None:
    axes = layout.split(", ")
    sizes = zip(axes, values.shape, strict=False)
    fits = values.ndim == len(axes) and all(axis != "1" or size == 1 for axis, size in sizes)
    if not fits or not values.is_floating_point():
        raise BatError(
            f"augmentation: expected floating-point values of shape [{layout}], "
            f"found {values.dtype} of shape {list(values.shape)}"
        )
