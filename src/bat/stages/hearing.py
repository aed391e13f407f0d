"""From settings to the parts that feed an encoder."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bat.audio.frontends import BATFrontend, kaldi_filter_banks
from bat.data.clips import Clips
from bat.data.pcm_store import PcmStore
from bat.data.shards import read_spectrograms
from bat.inputs.spectrograms import CachedSpectrograms
from bat.inputs.waveforms import Waveforms, WaveformTransforms
from bat.params.models import BatFrontend, Frontend, Given, LegacyFrontend
from bat.provenance.job import Job
from bat.settings import Hearing
from bat.stages.device import device

Inputs = CachedSpectrograms | Waveforms


def frontend_module(frontend: Frontend, rate_hz: int) -> Callable[[Tensor], Tensor]:
    """Build the front end of some settings, with its statistics where they are given."""
    compute = (
        _bat(frontend, rate_hz) if isinstance(frontend, BatFrontend) else _legacy(frontend, rate_hz)
    )
    given = frontend.statistics
    if not isinstance(given, Given):
        return compute
    mean = given.mean
    # the legacy front ends divide by two deviations (Audio-MAE and its successors)
    scale = given.deviation * (2.0 if isinstance(frontend, LegacyFrontend) else 1.0)
    return lambda waveform: (compute(waveform) - mean) / scale


def _bat(frontend: BatFrontend, rate_hz: int) -> Callable[[Tensor], Tensor]:
    module = BATFrontend(
        rate_hz=rate_hz,
        n_fft=frontend.n_fft,
        hop=frontend.hop,
        mel_bins=frontend.mel_bins,
        f_max_hz=frontend.maximum_hz,
        top_db=frontend.top_db,
    )
    return module.to(device())


def _legacy(frontend: LegacyFrontend, rate_hz: int) -> Callable[[Tensor], Tensor]:
    return lambda waveform: kaldi_filter_banks(
        waveform,
        rate_hz=rate_hz,
        mel_bins=frontend.mel_bins,
        window=frontend.window,
        subtract_mean=frontend.subtract_mean,
        scale=frontend.scale,
    )


def open_inputs(
    job: Job,
    clips: Clips,
    hearing: Hearing | None,
    *,
    colour_noise: float = 0.0,
    roll: bool | None = None,
) -> Inputs:
    """Open what a job reads: cached spectrograms, or PCM and the settings of a front end.

    Parameters
    ----------
    hearing
        None where spectrograms are cached.
    colour_noise
        Probability of added noise in training.
    roll
        Whether training rolls clips; by default as the task says.
    """
    if hearing is None:
        return _cached(job, job.path("spectrograms"), clips, roll=bool(roll))
    transforms = hearing.transforms
    samples_path, index_path = job.paths("pcm")
    return Waveforms(
        clips.manifest,
        PcmStore(samples_path, index_path),
        frontend_module(hearing.frontend, hearing.rate_hz),
        samples=hearing.samples,
        pad_waveforms=hearing.padding == "waveform",
        transforms=WaveformTransforms(
            random_crop=transforms.random_crop,
            gaussian_noise=transforms.gaussian_noise,
            roll=transforms.roll if roll is None else roll,
            colour_noise=colour_noise,
        ),
        device=device(),
    )


def _cached(job: Job, path: Path, clips: Clips, *, roll: bool) -> CachedSpectrograms:
    shard = read_spectrograms(path)
    clips.check_order(shard.clip_ids, path)
    return CachedSpectrograms(shard.spectrogram, roll=roll)


def padded(spectrogram: Tensor, minimum_frames: int) -> Tensor:
    """Zero-pad an already scaled spectrogram [B, 1, T, F] to a least number of frames."""
    missing = max(0, minimum_frames - spectrogram.shape[2])
    return torch.nn.functional.pad(spectrogram, (0, 0, 0, missing))
