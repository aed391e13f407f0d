"""Cache the tokens of every block of a frozen encoder."""

import torch

from bat.data.shards import read_spectrograms, write_tokens
from bat.models.checkpoint import read_encoder
from bat.progress import track
from bat.provenance.job import Job
from bat.settings import EmbedSettings

DETERMINISM = "bitwise-same-hardware"
_CLIPS_AT_A_TIME = 32


@torch.no_grad()
def run(job: Job, settings: EmbedSettings) -> None:
    """Write ``tokens.safetensors``: cls [L, N, D] and patches [L, N, D, T, F] in float16."""
    torch.set_float32_matmul_precision(settings.compute.float32_matmul_precision)
    encoder, scaling = read_encoder(job.path("encoder"))
    shard = read_spectrograms(job.path("spectrograms"))
    batches = [
        encoder(scaling(batch))
        for batch in track(torch.split(shard.spectrogram, _CLIPS_AT_A_TIME), "tokens")
    ]
    write_tokens(
        job.output("tokens.safetensors"),
        shard.clip_ids,
        cls=torch.cat([tokens.cls for tokens in batches], dim=1),
        patches=torch.cat([tokens.patches for tokens in batches], dim=1),
    )
