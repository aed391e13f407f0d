"""Cache the tokens of every block of a frozen encoder."""

import torch

from bat.data.shards import read_spectrograms, write_tokens
from bat.models.checkpoint import read_encoder
from bat.models.tokens import Tokens
from bat.progress import track
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.settings import EmbedSettings
from bat.stages.device import autocast, device, set_precision
from bat.stages.hearing import padded

DETERMINISM = "bitwise-same-hardware"
# With other vector instructions: one unit in the last place of float16 (docs/audit.md).
TOLERANCES = {"tokens.safetensors": Tolerance(absolute=1e-2, relative=1e-2)}
_CLIPS_AT_A_TIME = 32


@torch.no_grad()
def run(job: Job, settings: EmbedSettings) -> None:
    """Write ``tokens.safetensors``: cls [L, N, D] and patches [L, N, D, T, F] in float16."""
    set_precision(settings.compute)
    encoder, scaling = read_encoder(job.path("encoder"))
    encoder.to(device())
    shard = read_spectrograms(job.path("spectrograms"))
    batches = []
    with autocast(settings.compute.evaluation):
        for batch in track(torch.split(shard.spectrogram, _CLIPS_AT_A_TIME), "tokens"):
            tokens = encoder(padded(scaling(batch.to(device())), settings.minimum_frames))
            batches.append(Tokens(cls=tokens.cls.half().cpu(), patches=tokens.patches.half().cpu()))
    write_tokens(
        job.output("tokens.safetensors"),
        shard.clip_ids,
        cls=torch.cat([tokens.cls for tokens in batches], dim=1),
        patches=torch.cat([tokens.patches for tokens in batches], dim=1),
    )
