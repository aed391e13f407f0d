"""Pretrain one encoder on one group of parts; it never hears those it is tested on."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from bat.audio.frontends import frame_statistics
from bat.cost import peak_flops, step_cost
from bat.data.clips import Clips, read_clips
from bat.data.manifest import leak_check
from bat.models.checkpoint import InputScaling, save_encoder
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.optimisation.batches import shuffled_batches
from bat.params.data import Group
from bat.params.models import Pretraining, VitDecoder
from bat.pretraining.checkpoints import Checkpoints
from bat.pretraining.curves import CURVES
from bat.pretraining.metrics import Metrics, Throughput
from bat.pretraining.ranks import Ranks, joined
from bat.pretraining.resources import Interval, Resources
from bat.pretraining.trainer import Pretrained, Surroundings, pretrain
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.runtime import rank
from bat.seeds import derive_seed
from bat.settings import PretrainSettings
from bat.stages.architecture import architecture_of, build
from bat.stages.device import device, set_precision
from bat.stages.hearing import Inputs, open_inputs, padded

DETERMINISM = "bitwise-same-hardware"
# Not measured on other processors at full length (docs/audit.md), so rather too strict.
TOLERANCES = {
    "curves.parquet": Tolerance(absolute=0.05, relative=0.05),
    "encoder.safetensors": Tolerance(absolute=0.05, relative=0.05),
}
# Clips at a time, where statistics are measured.
_CLIPS_AT_A_TIME = 64


def run(job: Job, settings: PretrainSettings, resources: Resources | None = None) -> None:
    """Write ``encoder.safetensors``, the ``curves.parquet`` and the ``clips.json`` heard.

    Under torchrun every rank runs this; rank 0 alone writes.
    """
    set_precision(settings.compute)
    clips = read_clips(job.path("manifest"))
    _check_leaks(clips, settings.group)
    heard = torch.from_numpy(clips.of(settings.group.pretrain))
    roll = settings.pretraining is not None and settings.pretraining.time_roll
    inputs = open_inputs(job, clips, settings.hearing, roll=roll)

    scaling = input_scaling(inputs, heard, settings)
    example = padded(scaling(inputs(heard[:1])), settings.minimum_frames)
    architecture = architecture_of(
        settings.encoder,
        mel_bins=example.shape[3],
        time_patches=example.shape[2] // scaling.patch_size,
    )
    torch.manual_seed(derive_seed(settings.seed, "encoder"))
    encoder, curves = build(settings.encoder, architecture), CURVES.clone()
    if settings.pretraining is not None:
        assert isinstance(encoder, AudioTransformer)
        feed = feed_of(inputs, scaling, settings)
        with joined(device()) as ranks:
            around = surroundings(job, settings, resources or Resources(), ranks, encoder, clips)
            trained = train(encoder, feed, heard, settings, around)
        encoder, curves = trained.encoder, trained.curves
        job.note("runs", trained.runs)
    if rank() != 0:
        return

    save_encoder(job.output("encoder.safetensors"), encoder.cpu(), architecture, scaling)
    curves.write_parquet(job.output("curves.parquet"))
    of_group = clips.manifest[heard.tolist()]
    job.write_json(
        "clips.json",
        {
            "clips": of_group["clip_id"].to_list(),
            "recordings": pl.Series(of_group["group"].explode()).unique().sort().to_list(),
        },
    )


def _check_leaks(clips: Clips, group: Group) -> None:
    """Make sure that no recording heard is one of those that this group tests on."""
    tested = [part for part in group.test if part in clips.parts]
    if tested:
        leak_check(clips.manifest, train=group.pretrain, test=tested)


def input_scaling(inputs: Inputs, heard: Tensor, settings: PretrainSettings) -> InputScaling:
    """Statistics of the clips that the encoder hears, where the front end wants them."""
    patch_size = getattr(settings.encoder, "patch_size", 16)
    if not settings.standardise:
        return InputScaling(mean=0.0, scale=1.0, patch_size=patch_size)
    batches = (inputs(batch) for batch in torch.split(heard, _CLIPS_AT_A_TIME))
    mean, deviation = frame_statistics(batches)
    return InputScaling(mean=mean, scale=deviation * settings.deviations, patch_size=patch_size)


def feed_of(
    inputs: Inputs, scaling: InputScaling, settings: PretrainSettings
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return what gives the encoder its clips, scaled and padded."""

    def of(clips: Tensor, generator: torch.Generator) -> Tensor:
        heard = scaling(inputs(clips, generator).to(device()))
        return padded(heard, settings.minimum_frames)

    return of


def train(
    encoder: AudioTransformer,
    feed: Callable[[Tensor, torch.Generator], Tensor],
    heard: Tensor,
    settings: PretrainSettings,
    around: Surroundings,
) -> Pretrained:
    """Train an encoder on the clips ``heard``."""
    pretraining = settings.pretraining
    assert pretraining is not None
    seed = derive_seed(settings.seed, "training")
    batches = shuffled_batches(
        len(heard), steps=pretraining.steps, batch_size=pretraining.batch_size, seed=seed
    )
    torch.manual_seed(derive_seed(settings.seed, "decoder"))
    decoder = _decoder(pretraining, encoder)
    # From here on a signal to stop waits for the end of a step.
    around.stop.listen()
    return pretrain(
        encoder.to(device()),
        decoder.to(device()),
        feed,
        heard[batches],
        pretraining.model_dump(exclude={"decoder"}),
        seed=seed,
        bfloat16=settings.compute.training == "bfloat16",
        surroundings=around,
    )


def surroundings(
    job: Job,
    settings: PretrainSettings,
    resources: Resources,
    ranks: Ranks,
    encoder: AudioTransformer,
    clips: Clips,
) -> Surroundings:
    """Say where checkpoints and metrics of this job go, and how its speed is measured."""
    model_and_group = Path(*job.selection.values())

    def open_checkpoints() -> Checkpoints:
        folder = resources.checkpoints / model_and_group / job.identity[:16]
        owner = {"host": platform.node(), "process": os.getpid()}
        store = Checkpoints(
            folder, keep=resources.checkpoints_kept, owner=owner, outputs=job.folder
        )
        job.afterwards(store.remove)
        return store

    return Surroundings(
        ranks=ranks,
        workers=resources.workers,
        interval=Interval(minutes=resources.checkpoint_minutes, steps=resources.checkpoint_steps),
        checkpoints=open_checkpoints,
        metrics=lambda step: Metrics(resources.metrics / model_and_group, first_step=step),
        throughput=_throughput(settings, ranks, encoder),
        names_of=lambda batch: clips.manifest["clip_id"][batch.tolist()].to_list(),
    )


def _throughput(settings: PretrainSettings, ranks: Ranks, encoder: AudioTransformer) -> Throughput:
    assert settings.pretraining is not None
    patches = encoder.grid_time_patches * encoder.frequency_patches
    cost = step_cost(settings.encoder, settings.pretraining, patches=patches)
    peak = None
    if device().type == "cuda":
        name = torch.cuda.get_device_name(device())
        peak = peak_flops(name, settings.compute.training)
    batch_size = settings.pretraining.batch_size
    return Throughput(clips=batch_size, flops=cost.of(batch_size), peak=peak and peak * ranks.size)


def _decoder(settings: Pretraining, encoder: AudioTransformer) -> ViTDecoder | CNNDecoder:
    decoder = settings.decoder
    grid = (encoder.grid_time_patches, encoder.frequency_patches)
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
