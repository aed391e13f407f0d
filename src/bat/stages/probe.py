"""Train and test a probe on a frozen encoder, once per fold and seed."""

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bat.data.clips import Clips, read_clips
from bat.evaluation.predictions import Predictions
from bat.evaluation.runs import run_metrics, write_predictions
from bat.probes.training import predict, train_probe
from bat.progress import track
from bat.provenance.determinism import Tolerance
from bat.provenance.hashing import sha256_of_file
from bat.provenance.job import Job
from bat.seeds import derive_seed
from bat.settings import ProbeSettings, Run
from bat.stages.device import autocast, set_precision
from bat.stages.head_files import HeadsDescription, encoder_behind, name_of, write_heads
from bat.stages.reading import Reader
from bat.stages.reading.heads import head_options
from bat.stages.targets import Indices, Targets, targets_of
from bat.stages.training import Selected, batches_of, recipe_of, score

DETERMINISM = "bitwise-same-hardware"
# With other vector instructions a prototype finds another token, and training goes another way:
# 0.01 at most in a metric, 0.07 in a score (docs/audit.md). Weights need not agree then.
TOLERANCES = {
    "metrics.json": Tolerance(absolute=0.03),
    "predictions.parquet": Tolerance(absolute=0.25),
    "heads.safetensors": None,
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run's probe, what it predicted, and how its training went."""

    probe: nn.Module
    predictions: Predictions
    last_loss: float
    selected_step: int | None


def run(job: Job, settings: ProbeSettings) -> None:
    """Write ``metrics.json``, ``predictions.parquet`` and the trained ``heads.safetensors``."""
    set_precision(settings.compute)
    clips = read_clips(job.path("manifest"))
    # By name: which of the two is a root of the job's code beside this module.
    reading = "cached" if job.has("tokens") else "live"
    readers = importlib.import_module(f"bat.stages.reading.{reading}").open_readers(
        job, clips, settings
    )
    targets = targets_of(settings.goal, clips, next(iter(readers.values())).time_patches)
    predicted, metrics = [], []
    heads: dict[str, Tensor] = {}
    for one in track(settings.runs, "probing"):
        trained = train_and_test(one, settings, targets, readers[one.group])
        predicted.append(trained.predictions)
        metrics.append(
            run_metrics(
                trained.predictions,
                settings.goal.metrics,
                last_loss=trained.last_loss,
                selected_step=trained.selected_step,
                gate=gate_weights(trained.probe),
            )
        )
        heads |= _weights(one, trained.probe)
    write_predictions(job.output("predictions.parquet"), predicted)
    job.write_json("metrics.json", {**job.selection, **clips.description, "runs": metrics})
    reader = next(iter(readers.values()))
    description = _description(job, settings, targets, depth=reader.depth, width=reader.width)
    write_heads(job.output("heads.safetensors"), heads, description)


def train_and_test(one: Run, settings: ProbeSettings, targets: Targets, reader: Reader) -> Trained:
    """Train a probe on one side of a fold and test it on the other."""
    clips: Clips = targets.clips
    train, validation, test = clips.split(train=one.train, validation=one.validation, test=one.test)
    torch.manual_seed(derive_seed(one.seed, one.fold, "head"))
    probe = reader.head(settings.probe, targets.outputs, frame_wise=targets.frame_wise)
    feed = reader.feed(probe)
    size, compute = settings.training.test_batch_size, settings.compute

    def tested(places: Indices) -> Predictions:
        with autocast(compute.evaluation):
            logits = predict(probe, feed, torch.from_numpy(places), size)
        return targets.predictions(logits, one, places)

    def loss_of(logits: Tensor, batch: Tensor) -> Tensor:
        return targets.loss(logits, batch)

    selected = Selected(
        [probe], settings.training, lambda: score(tested(validation), settings.goal.metrics[0])
    )
    seed = derive_seed(one.seed, one.fold, "training")
    with autocast(compute.training):
        losses = train_probe(
            probe,
            feed,
            loss_of,
            batches_of(clips, train, settings.training, settings.probe, seed),
            recipe_of(settings.probe, seed),
            weight_decay=settings.probe.weight_decay,
            after_step=selected.after_step,
        )
    selected.restore()
    return Trained(
        probe=probe,
        predictions=tested(test),
        last_loss=losses[-1],
        selected_step=selected.step,
    )


def _weights(one: Run, probe: nn.Module) -> dict[str, Tensor]:
    """Trained weights by fold, seed and name; those of a live encoder are not among them."""
    return {
        f"{name_of(one)}/{name}": parameter.detach().cpu().contiguous()
        for name, parameter in probe.named_parameters()
        if parameter.requires_grad
    }


def _description(
    job: Job, settings: ProbeSettings, targets: Targets, *, depth: int, width: int
) -> HeadsDescription:
    """Say of the heads what is needed to use them again."""
    order = targets.clips.order
    return HeadsDescription(
        selection=dict(job.selection),
        order=order.name,
        classes=list(order.classes),
        kind=settings.probe.kind,
        options=head_options(settings.probe, frame_wise=targets.frame_wise),
        depth=depth,
        width=width,
        outputs=targets.outputs,
        goal=settings.goal,
        compute=settings.compute,
        test_batch_size=settings.training.test_batch_size,
        runs=settings.runs,
        encoders=_encoders(job),
    )


def _encoders(job: Job) -> dict[str, str]:
    """Return the hash of the encoder of each pretraining group, from the records."""
    if job.has("tokens"):
        makers = [job.maker(path) for path in job.paths("tokens")]
        return {maker.selection["group"]: encoder_behind(maker) for maker in makers}
    encoders = job.paths("encoder")
    return {job.maker(path).selection["group"]: sha256_of_file(path) for path in encoders}


def gate_weights(probe: nn.Module) -> list[float] | None:
    """Weight that a gated probe gives to each block; None for the others."""
    weights = getattr(probe, "gate_weights", None)
    return None if weights is None else weights().tolist()
