"""Fine-tune whole encoders and test them, once per fold and seed."""

from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from bat.data.clips import Clips, read_clips
from bat.data.shards import read_spectrograms
from bat.evaluation.runs import run_metrics, write_predictions
from bat.evaluation.statistics import Predictions
from bat.finetuning import finetune, predict
from bat.models.checkpoint import read_encoder
from bat.probes import build
from bat.progress import track
from bat.provenance.job import Job
from bat.seeds import derive_seed
from bat.settings import FinetuneSettings, Run
from bat.stages.targets import predictions, training_labels

DETERMINISM = "bitwise-same-hardware"
_LOGGED_STEPS = 50


def run(job: Job, settings: FinetuneSettings) -> None:
    """Write ``metrics.json``, ``predictions.parquet`` and the training ``curves.parquet``."""
    torch.set_float32_matmul_precision(settings.compute.float32_matmul_precision)
    clips = read_clips(job.path("manifest"))
    shard = read_spectrograms(job.path("spectrograms"))
    clips.check_order(shard.clip_ids, job.path("spectrograms"))
    encoders = {job.maker(path).selection["group"]: path for path in job.paths("encoder")}
    predicted_runs, metrics, curves = [], [], []
    for one in track(settings.runs, "fine-tuning"):
        predicted, losses = _train_and_test(
            one, settings, clips, shard.spectrogram, encoders[one.group]
        )
        predicted_runs.append(predicted)
        metrics.append(run_metrics(predicted, settings.task.metrics, last_loss=losses[-1]))
        curves.append(_curve(one, losses))
    write_predictions(job.output("predictions.parquet"), predicted_runs)
    job.write_json("metrics.json", {**job.selection, "classes": clips.classes, "runs": metrics})
    pl.concat(curves).write_parquet(job.output("curves.parquet"))


def _train_and_test(
    one: Run, settings: FinetuneSettings, clips: Clips, spectrograms: Tensor, encoder_path: Path
) -> tuple[Predictions, list[float]]:
    tuning = settings.finetuning
    train, test = clips.split(one.fold)
    train_index, test_index = torch.from_numpy(train), torch.from_numpy(test)
    encoder, scaling = read_encoder(encoder_path, drop_path=tuning.drop_path)
    torch.manual_seed(derive_seed(one.seed, one.fold, "head"))
    head = build(
        "lp",
        depth=encoder.depth,
        width=encoder.width,
        classes=len(clips.classes),
        pooling=tuning.pooling,
        dropout=tuning.dropout,
    )
    losses = finetune(
        encoder,
        head,
        scaling,
        spectrograms[train_index],
        training_labels(clips, settings.task)[train_index],
        tuning.model_dump(),
        loss_name=settings.task.loss,
        seed=derive_seed(one.seed, one.fold, "training"),
    )
    logits = predict(encoder, head, scaling, spectrograms[test_index], tuning.batch_size)
    predicted = predictions(logits, one, clips, test, settings.task)
    return predicted, losses


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
