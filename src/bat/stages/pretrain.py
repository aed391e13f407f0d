"""Pretrain one encoder on one group of meetings; it never hears those it is tested on."""

import polars as pl
import torch
from torch import Tensor

from bat.audio.frontends import frame_statistics
from bat.data.clips import read_clips
from bat.data.manifest import leak_check
from bat.data.shards import read_spectrograms
from bat.models.checkpoint import InputScaling, save_encoder
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.params import Pretraining, VitDecoder
from bat.pretraining.trainer import CURVES, pretrain
from bat.provenance.job import Job
from bat.seeds import derive_seed
from bat.settings import PretrainSettings

DETERMINISM = "bitwise-same-hardware"


def run(job: Job, settings: PretrainSettings) -> None:
    """Write ``encoder.safetensors``, the ``curves.parquet`` and the ``clips.json`` heard."""
    torch.set_float32_matmul_precision(settings.compute.float32_matmul_precision)
    group = settings.group
    clips = read_clips(job.path("manifest"))
    leak_check(clips.manifest, train_meetings=group.pretrain, test_meetings=group.test)
    chosen = clips.of(group.pretrain)
    shard = read_spectrograms(job.path("spectrograms"))
    clips.check_order(shard.clip_ids, job.path("spectrograms"))
    heard = shard.spectrogram[torch.from_numpy(chosen)]

    scaling = input_scaling(heard, settings)
    grid = scaling(heard[:1]).shape[2] // settings.encoder.patch_size
    architecture = settings.encoder.model_dump() | {
        "mel_bins": heard.shape[3],
        "grid_time_patches": grid,
    }
    torch.manual_seed(derive_seed(settings.seed, "encoder"))
    encoder = AudioTransformer(**architecture)
    curves = CURVES.clone()
    if settings.pretraining is not None:
        encoder, curves = train(encoder, heard, scaling, settings.pretraining, settings.seed)

    save_encoder(job.output("encoder.safetensors"), encoder, architecture, scaling)
    curves.write_parquet(job.output("curves.parquet"))
    recordings = pl.Series(clips.manifest[chosen]["group"].explode()).unique().sort()
    heard_ids = [clips.ids[index] for index in chosen]
    job.write_json("clips.json", {"clips": heard_ids, "recordings": recordings.to_list()})


def input_scaling(heard: Tensor, settings: PretrainSettings) -> InputScaling:
    """Statistics of the clips that the encoder hears, where the front end wants them."""
    mean, deviation = frame_statistics([heard]) if settings.standardise else (0.0, 1.0)
    scale = deviation * (settings.deviations if settings.standardise else 1.0)
    return InputScaling(mean=mean, scale=scale, patch_size=settings.encoder.patch_size)


def train(
    encoder: AudioTransformer,
    heard: Tensor,
    scaling: InputScaling,
    settings: Pretraining,
    seed: int,
) -> tuple[AudioTransformer, pl.DataFrame]:
    """Train an encoder; return the one to keep and its training curves."""
    grid = (encoder.grid_time_patches, encoder.frequency_patches)
    torch.manual_seed(derive_seed(seed, "decoder"))
    return pretrain(
        encoder,
        _decoder(settings, encoder, grid),
        heard,
        scaling,
        settings.model_dump(exclude={"decoder"}),
        seed=derive_seed(seed, "training"),
    )


def _decoder(
    settings: Pretraining, encoder: AudioTransformer, grid: tuple[int, int]
) -> ViTDecoder | CNNDecoder:
    decoder = settings.decoder
    if isinstance(decoder, VitDecoder):
        return ViTDecoder(
            width=encoder.width,
            depth=decoder.depth,
            heads=decoder.heads,
            mlp_ratio=decoder.mlp_ratio,
            grid=grid,
            decoder_width=decoder.width,
        )
    return CNNDecoder(width=encoder.width, depth=decoder.depth, grid=grid, groups=decoder.groups)
