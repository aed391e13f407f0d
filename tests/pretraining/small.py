"""A training small enough for a test: an encoder of 16 dimensions on made spectrograms."""

import torch

from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.pretraining.trainer import Surroundings, pretrain

GRID = (4, 2)
SETTINGS = {
    "learning_rate": 1e-3,
    "minimum_learning_rate": 1e-6,
    "warmup_steps": 2,
    "weight_decay": 0.05,
    "betas": [0.9, 0.95],
    "views": 2,
    "mask_ratio": 0.75,
    "mask_block": 1,
    "mask_adjust": 0.07,
    "target": "eob",
    "ema": {"start": 0.99, "end": 0.999, "ramp_steps": 10},
    "gradient_clip": None,
    "keep": "student",
    "log_every": 1,
    "micro_batch_size": None,
    "explosion": 10.0,
}
CLIPS = torch.rand(12, 1, 64, 32, generator=torch.Generator().manual_seed(1))
BATCHES = torch.randint(12, (12, 4), generator=torch.Generator().manual_seed(2))


def encoder():
    torch.manual_seed(0)
    return AudioTransformer(width=16, depth=2, heads=2, mel_bins=32, grid_time_patches=4)


def decoder(kind="vit"):
    torch.manual_seed(1)
    if kind == "cnn":
        return CNNDecoder(width=16, depth=1, grid=GRID, groups=4)
    return ViTDecoder(width=16, depth=1, heads=2, mlp_ratio=2.0, grid=GRID, decoder_width=8)


def rolled(clips, generator):
    """Clips rolled by a random number of frames each."""
    offsets = torch.randint(64, (len(clips),), generator=generator).tolist()
    return torch.stack([CLIPS[c].roll(o, dims=1) for c, o in zip(clips, offsets, strict=True)])


def run(inputs=rolled, batches=BATCHES, kind="vit", changes=None, **around):
    """Train; changes are of the settings, the rest of the surroundings."""
    settings = SETTINGS | (changes or {})
    return pretrain(
        encoder(),
        decoder(kind),
        inputs,
        batches,
        settings,
        seed=7,
        surroundings=Surroundings(**around),
    )


def same(one, other):
    """Whether two trainings gave the same bits."""
    weights = zip(one.encoder.parameters(), other.encoder.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in weights) and one.curves.equals(other.curves)
