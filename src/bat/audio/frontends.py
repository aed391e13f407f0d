"""Front ends: waveforms to spectrograms.

Every front end is a module that maps a waveform [B, samples] to a spectrogram [B, 1, T, F], time
before frequency. Padding to whole patches is a step of its own (`pad_frames`), because
augmentation works between the two.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

import bat.compat  # noqa: F401  (must come before torchaudio)
from bat.errors import BatError

# isort: split
import torchaudio
from torchaudio.compliance import kaldi

# A power below this is taken for silence: -100 dB.
_POWER_FLOOR = 1e-10
# Keeps the min-max scaling of a constant spectrogram finite.
_RANGE_EPS = 1e-8


class BATFrontend(nn.Module):
    """The paper's front end: log-mel spectrogram in dB, scaled to [0, 1] clip by clip.

    Mel power spectrogram (periodic Hann window of `n_fft` samples, centred frames, HTK mel scale,
    filters not normalised), 10 log10 with everything more than `top_db` below the clip's maximum
    raised to that level, then min-max scaling. Maximum and minimum are each clip's own, so a
    clip's spectrogram does not depend on its batch.

    Parameters
    ----------
    rate_hz, n_fft, hop, mel_bins : int
        Sample rate, window and hop in samples, and number of mel filters (F). HSN, at 32 kHz,
        takes a window of 2048 and a hop of 320: the same times and frequencies.
    f_min_hz, f_max_hz : float
        Range of the mel filters.
    top_db : float
        Dynamic range kept below a clip's maximum.
    """

    def __init__(
        self,
        *,
        rate_hz: int = 16_000,
        n_fft: int = 1024,
        hop: int = 160,
        mel_bins: int = 128,
        f_min_hz: float = 0.0,
        f_max_hz: float = 8000.0,
        top_db: float = 80.0,
    ) -> None:
        super().__init__()
        self.top_db = top_db
        self.min_samples = n_fft // 2 + 1
        self.mel_power = torchaudio.transforms.MelSpectrogram(
            sample_rate=rate_hz,
            n_fft=n_fft,
            hop_length=hop,
            n_mels=mel_bins,
            f_min=f_min_hz,
            f_max=f_max_hz,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform [B, samples] to a spectrogram [B, 1, T, F] in [0, 1].

        T is 1 + samples // hop.

        Raises
        ------
        BatError
            If the waveform is not floating-point [B, samples] or not longer than half a window.
        """
        _check_waveform(waveform, self.min_samples)
        power = self.mel_power(waveform).transpose(1, 2)
        db = 10.0 * torch.log10(power.clamp_min(_POWER_FLOOR))
        highest = db.amax(dim=(1, 2), keepdim=True)
        db = torch.maximum(db, highest - self.top_db)
        lowest = db.amin(dim=(1, 2), keepdim=True)
        return ((db - lowest) / (highest - lowest + _RANGE_EPS)).unsqueeze(1)


class LegacyFrontend(nn.Module):
    """The baselines' front end: Kaldi filter banks, standardised with a data set's statistics.

    The spectrogram is (x - mean) / (2 std) with the log filter banks x of `kaldi_filter_banks`.

    Parameters
    ----------
    mean, std : float
        Statistics of the filter banks over the training data, see `frame_statistics`.
    rate_hz, mel_bins, window, subtract_mean, scale
        As for `kaldi_filter_banks`. The defaults are those of EAT and SSLAM; BEATs takes the
        Povey window, keeps the mean and scales by 2^15.
    """

    def __init__(
        self,
        *,
        mean: float,
        std: float,
        rate_hz: int = 16_000,
        mel_bins: int = 128,
        window: str = "hanning",
        subtract_mean: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not std > 0:
            raise BatError(f"legacy front end: std must be above 0, found {std}")
        self.mean = mean
        self.std = std
        self.rate_hz = rate_hz
        self.mel_bins = mel_bins
        self.window = window
        self.subtract_mean = subtract_mean
        self.scale = scale

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform [B, samples] to a spectrogram [B, 1, T, F].

        T counts the 25-ms windows that fit, every 10 ms: 998 for 10 s.

        Raises
        ------
        BatError
            If the waveform is not floating-point [B, samples] or shorter than one window.
        """
        banks = kaldi_filter_banks(
            waveform,
            rate_hz=self.rate_hz,
            mel_bins=self.mel_bins,
            window=self.window,
            subtract_mean=self.subtract_mean,
            scale=self.scale,
        )
        return (banks - self.mean) / (2.0 * self.std)


def kaldi_filter_banks(
    waveform: Tensor,
    *,
    rate_hz: int = 16_000,
    mel_bins: int = 128,
    window: str = "hanning",
    subtract_mean: bool = True,
    scale: float = 1.0,
) -> Tensor:
    """Compute Kaldi's log mel filter banks: 25 ms windows every 10 ms, no dither, no energy.

    Parameters
    ----------
    waveform : Tensor, [B, samples]
    rate_hz, mel_bins : int
        Sample rate and number of filters (F).
    window : {"hanning", "povey"}
    subtract_mean : bool
        Whether each clip's mean is taken off first.
    scale : float
        Factor on the waveform; Kaldi's own convention is 2^15.

    Returns
    -------
    Tensor, [B, 1, T, F]
        T counts the windows that fit: 998 for 10 s.

    Raises
    ------
    BatError
        If the waveform is not floating-point [B, samples] or shorter than one window.
    """
    _check_waveform(waveform, min_samples=rate_hz * 25 // 1000)
    if subtract_mean:
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
    banks = [
        kaldi.fbank(
            clip.unsqueeze(0) * scale,
            sample_frequency=float(rate_hz),
            num_mel_bins=mel_bins,
            window_type=window,
            frame_length=25.0,
            frame_shift=10.0,
            dither=0.0,
            use_energy=False,
        )
        for clip in waveform
    ]
    return torch.stack(banks).unsqueeze(1)


def frame_statistics(spectrograms: Iterable[Tensor]) -> tuple[float, float]:
    """Return the mean and the standard deviation over all values of all spectrograms.

    These are the statistics that `LegacyFrontend` takes when computed from the
    `kaldi_filter_banks` of the training data.

    Parameters
    ----------
    spectrograms : iterable of Tensor, any shape
        Batches; one pass, accumulated in float64.

    Raises
    ------
    BatError
        If there is no value.
    """
    count = 0
    mean = 0.0
    squares = 0.0  # sum of squared deviations from the mean so far
    for spectrogram in spectrograms:
        values = spectrogram.double()
        batch_mean = float(values.mean())
        batch_squares = float((values - batch_mean).square().sum())
        total = count + values.numel()
        shift = batch_mean - mean
        squares += batch_squares + shift**2 * count * values.numel() / total
        mean += shift * values.numel() / total
        count = total
    if count == 0:
        raise BatError("frame statistics: expected at least one spectrogram, found none")
    return mean, (squares / count) ** 0.5


def pad_frames(spectrogram: Tensor, patch_size: int = 16, *, min_frames: int = 0) -> Tensor:
    """Zero-pad the time axis to a whole number of patches.

    Parameters
    ----------
    spectrogram : Tensor, [B, 1, T, F]
    patch_size : int
        Frames per patch.
    min_frames : int
        Frames that the result has at least: 1024 in pretraining, where 10 s are 1001 frames.

    Returns
    -------
    Tensor, [B, 1, T', F]
        T' is the smallest multiple of `patch_size` that is at least T and `min_frames`.

    Raises
    ------
    BatError
        If the spectrogram is not [B, 1, T, F].
    """
    if spectrogram.ndim != 4 or spectrogram.shape[1] != 1:
        raise BatError(
            f"frame padding: expected a spectrogram [B, 1, T, F], "
            f"found shape {list(spectrogram.shape)}"
        )
    frames = spectrogram.shape[2]
    wanted = -(-max(frames, min_frames) // patch_size) * patch_size
    return nn.functional.pad(spectrogram, (0, 0, 0, wanted - frames))


def pad_waveform(waveform: Tensor, samples: int) -> Tensor:
    """Zero-pad a waveform [B, S] at its end to [B, max(S, samples)].

    Silence that is added here takes part in a front end's scaling: the paper's way for AudioSet
    downstream (163,680 samples) and Speech Commands (16,000).

    Raises
    ------
    BatError
        If the waveform is not [B, S].
    """
    _check_waveform(waveform)
    return nn.functional.pad(waveform, (0, max(0, samples - waveform.shape[1])))


_FRONTENDS: dict[str, Callable[..., nn.Module]] = {
    "bat": BATFrontend,
    "legacy": LegacyFrontend,
    "beats": partial(LegacyFrontend, window="povey", subtract_mean=False, scale=2.0**15),
}


def build(name: str, **parameters: float | str | bool) -> nn.Module:
    """Build a front end: "bat", "legacy" (EAT, SSLAM) or "beats".

    Parameters
    ----------
    name : str
    **parameters
        Keyword arguments of `BATFrontend` or, for "legacy" and "beats", of `LegacyFrontend`.

    Raises
    ------
    BatError
        If the name or a parameter is unknown, or a required one is missing.
    """
    if name not in _FRONTENDS:
        raise BatError(f"front end: expected one of {sorted(_FRONTENDS)}, found {name!r}")
    try:
        return _FRONTENDS[name](**parameters)
    except TypeError as error:
        raise BatError(f"front end {name!r}: {error}") from error


def _check_waveform(waveform: Tensor, min_samples: int = 0) -> None:
    if waveform.ndim != 2 or not waveform.is_floating_point():
        raise BatError(
            f"front end: expected a floating-point waveform [B, samples], "
            f"found {waveform.dtype} of shape {list(waveform.shape)}"
        )
    if waveform.shape[1] < min_samples:
        raise BatError(
            f"front end: expected at least {min_samples} samples, found {waveform.shape[1]}"
        )
