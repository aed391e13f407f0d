"""Fine-tune whole encoders and test them, once per fold and seed."""

from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from bat.data.clips import read_clips
from bat.evaluation.predictions import Predictions
from bat.evaluation.runs import run_metrics, write_predictions
from bat.finetuning import Augmentation, finetune, predict
from bat.models.checkpoint import read_encoder
from bat.params.methods import Finetuning
from bat.probes import build
from bat.progress import track
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.seeds import derive_seed
from bat.settings import FinetuneSettings, Run
from bat.stages.device import autocast, device, set_precision
from bat.stages.hearing import Inputs, open_inputs, padded
from bat.stages.targets import ClassTargets, FrameTargets, Indices, targets_of
from bat.stages.training import Selected, batches_of, recipe_of, score

DETERMINISM = "bitwise-same-hardware"
# With other vector instructions: 2e-6 at most (docs/audit.md); longer trainings part further.
TOLERANCES = {
    "metrics.json": Tolerance(absolute=0.03),
    "predictions.parquet": Tolerance(absolute=0.25),
    "curves.parquet": Tolerance(absolute=0.05, relative=0.05),
}
_LOGGED_STEPS = 50


def run(job: Job, settings: FinetuneSettings) -> None:
    """Write ``metrics.json``, ``predictions.parquet`` and the training ``curves.parquet``."""
    set_precision(settings.compute)
    clips = read_clips(job.path("manifest"))
    inputs = open_inputs(
        job, clips, settings.hearing, colour_noise=settings.finetuning.colour_noise
    )
    encoders = {job.maker(path).selection["group"]: path for path in job.paths("encoder")}
    patch_size = read_encoder(next(iter(encoders.values())))[0].patch_size

    def time_patches(chosen: Tensor) -> Tensor:
        frames = inputs.frames(chosen).clamp(min=settings.minimum_frames)
        return -(-frames // patch_size)

    targets = targets_of(settings.goal, clips, time_patches)
    assert isinstance(targets, ClassTargets | FrameTargets)
    predicted_runs, metrics, curves = [], [], []
    for one in track(settings.runs, "fine-tuning"):
        predicted, losses, step = train_and_test(
            one, settings, targets, inputs, encoders[one.group]
        )
        predicted_runs.append(predicted)
        details = {"last_loss": losses[-1], "selected_step": step}
        metrics.append(run_metrics(predicted, settings.goal.metrics, **details))
        curves.append(_curve(one, losses))
    write_predictions(job.output("predictions.parquet"), predicted_runs)
    job.write_json("metrics.json", {**job.selection, **clips.description, "runs": metrics})
    pl.concat(curves).write_parquet(job.output("curves.parquet"))


def train_and_test(
    one: Run,
    settings: FinetuneSettings,
    targets: ClassTargets | FrameTargets,
    inputs: Inputs,
    encoder_path: Path,
) -> tuple[Predictions, list[float], int | None]:
    """Fine-tune on one side of a fold and test on the other.

    Returns
    -------
    tuple
        What was predicted, the loss of every step, and the step that was selected, if any.
    """
    tuning, training, compute = settings.finetuning, settings.training, settings.compute
    clips = targets.clips
    train, validation, test = clips.split(train=one.train, validation=one.validation, test=one.test)
    encoder, scaling = read_encoder(encoder_path, drop_path=tuning.drop_path)
    torch.manual_seed(derive_seed(one.seed, one.fold, "head"))
    frame_wise = targets.frame_wise
    head = build(
        "lp",
        depth=encoder.depth,
        width=encoder.width,
        classes=targets.outputs,
        pooling="mean" if frame_wise else tuning.pooling,
        frame_wise=frame_wise,
        dropout=tuning.dropout,
    )
    encoder.to(device()), head.to(device())

    def prepare(spectrogram: Tensor) -> Tensor:
        return padded(scaling(spectrogram.to(device())), settings.minimum_frames)

    def tested(places: Indices) -> Predictions:
        chosen = torch.from_numpy(places)
        with autocast(compute.evaluation):
            logits = predict(encoder, head, inputs, prepare, chosen, training.test_batch_size)
        return targets.predictions(logits, one, places)

    selected = Selected(
        [encoder, head], training, lambda: score(tested(validation), settings.goal.metrics[0])
    )
    seed = derive_seed(one.seed, one.fold, "training")
    with autocast(compute.training):
        losses = finetune(
            encoder,
            head,
            inputs,
            prepare,
            targets.of,
            targets.loss_of,
            batches_of(clips, train, training, tuning, seed),
            recipe_of(tuning, seed),
            augmentation=_augmentation(tuning),
            layer_decay=tuning.layer_decay,
            weight_decay=tuning.weight_decay,
            after_step=selected.after_step,
        )
    selected.restore()
    return tested(test), losses, selected.step


def _augmentation(tuning: Finetuning) -> Augmentation:
    masks = {} if tuning.masks is None else tuning.masks.model_dump()
    return Augmentation(time_roll=tuning.time_roll, mixup=tuning.mixup, **masks)


def _curve(one: Run, losses: list[float]) -> pl.DataFrame:
    every = max(1, len(losses) // _LOGGED_STEPS)
    steps = list(range(0, len(losses), every))
    return pl.DataFrame(
        {
            "fold": [one.fold] * len(steps),
            "seed": [one.seed] * len(steps),
            "step": steps,
            "loss": [losses[step] for step in steps],
        }
    )
