"""Compute the spectrogram of every clip of a task once.

The cache holds what the front end itself makes: neither standardised (the statistics belong to a
pretraining group) nor padded (the padding belongs to the encoder's patches).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bat.audio.frontends import BATFrontend, kaldi_filter_banks
from bat.data.clips import read_clips
from bat.data.manifest import render
from bat.data.shards import PcmStore, write_spectrograms
from bat.params import BatFrontend
from bat.progress import track
from bat.provenance.job import Job
from bat.settings import FrontendSettings

DETERMINISM = "bitwise-same-hardware"
_CLIPS_AT_A_TIME = 64


def run(job: Job, settings: FrontendSettings) -> None:
    """Write ``spectrograms.safetensors`` [N, 1, T, F], clips in the order of the manifest."""
    clips = read_clips(job.path("manifest"))
    samples_path, index_path = job.paths("pcm")
    store = PcmStore(samples_path, index_path)
    frontend = _frontend(settings)
    starts = range(0, len(clips.ids), _CLIPS_AT_A_TIME)
    batches = [
        frontend(render(clips.manifest[start : start + _CLIPS_AT_A_TIME], store))
        for start in track(starts, "spectrograms")
    ]
    path = job.output("spectrograms.safetensors")
    write_spectrograms(path, clips.ids, torch.cat(batches))


def _frontend(settings: FrontendSettings) -> Callable[[Tensor], Tensor]:
    frontend, rate_hz = settings.frontend, settings.rate_hz
    if isinstance(frontend, BatFrontend):
        return BATFrontend(
            rate_hz=rate_hz,
            n_fft=frontend.n_fft,
            hop=frontend.hop,
            mel_bins=frontend.mel_bins,
            f_max_hz=rate_hz / 2,
            top_db=frontend.top_db,
        )
    return lambda waveform: kaldi_filter_banks(
        waveform, rate_hz=rate_hz, mel_bins=frontend.mel_bins
    )
