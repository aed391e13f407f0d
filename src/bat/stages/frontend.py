"""Compute the spectrogram of every clip of a task once.

The cache holds what the front end itself makes, standardised only by statistics that the
parameters give (measured ones belong to a pretraining group), and not padded (the padding belongs
to the encoder's patches).
"""

import torch

from bat.data.clips import read_clips
from bat.data.manifest import render
from bat.data.pcm_store import PcmStore
from bat.data.shards import write_spectrograms
from bat.progress import track
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.settings import FrontendSettings
from bat.stages.device import device
from bat.stages.hearing import frontend_module

DETERMINISM = "bitwise-same-hardware"
# With other vector instructions: 2.3e-5 at most of a range of 1 (docs/audit.md).
TOLERANCES = {"spectrograms.safetensors": Tolerance(absolute=1e-4)}
_CLIPS_AT_A_TIME = 64


def run(job: Job, settings: FrontendSettings) -> None:
    """Write ``spectrograms.safetensors`` [N, 1, T, F], clips in the order of the manifest."""
    clips = read_clips(job.path("manifest"))
    samples_path, index_path = job.paths("pcm")
    store = PcmStore(samples_path, index_path)
    frontend = frontend_module(settings.frontend, settings.rate_hz)
    batches = []
    for start in track(range(0, clips.manifest.height, _CLIPS_AT_A_TIME), "spectrograms"):
        rows = clips.manifest[start : start + _CLIPS_AT_A_TIME]
        waveform = render(rows, store, samples=settings.samples)
        batches.append(frontend(waveform.to(device())).cpu())
    path = job.output("spectrograms.safetensors")
    write_spectrograms(path, clips.ids, torch.cat(batches))
