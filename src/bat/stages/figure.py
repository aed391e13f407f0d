"""Draw the figures, each beside the table of numbers that it shows."""

import json
from typing import Any

import numpy as np
import polars as pl

from bat.data.shards import read_spectrograms
from bat.errors import BatError
from bat.evaluation.figures import draw_blocks, draw_frontends, draw_prototypes, draw_training
from bat.provenance.job import Job
from bat.settings import FigureSettings

DETERMINISM = "bitwise-same-hardware"


def run(job: Job, settings: FigureSettings) -> None:
    """Write the figures as PNG, and ``blocks.csv`` and ``prototypes.csv`` behind them."""
    runs = _runs(job)
    figures = settings.figures
    blocks, metric = _blocks(runs, settings)
    blocks.write_csv(job.output("blocks.csv"))
    draw_blocks(blocks, metric, job.output("blocks.png"))

    sweep = figures.sweep
    counts, metric = _prototypes(runs, settings)
    counts.write_csv(job.output("prototypes.csv"))
    draw_prototypes(counts, metric, f"{sweep.model}, {sweep.task}", job.output("prototypes.png"))

    draw_training(*_curves(job), job.output("training.png"))
    _draw_frontends(job, figures.frontends.clip)


def _runs(job: Job) -> pl.DataFrame:
    """One row per run of every probe: model, task, method, metric, value, gate."""
    rows: list[dict[str, Any]] = []
    for path in job.paths("metrics"):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        for one in metrics["runs"]:
            name, value = next(iter(one["metrics"].items()))
            cell = {key: metrics[key] for key in ("model", "task", "method")}
            rows.append({**cell, "metric": name, "value": 100 * value, "gate": one["gate"]})
    return pl.DataFrame(rows, infer_schema_length=None)


def _of(runs: pl.DataFrame, model: str, task: str, method: str) -> pl.DataFrame:
    chosen = runs.filter(model=model, task=task, method=method)
    if chosen.is_empty():
        raise BatError(f"figure: no runs of {model},{method},{task}")
    return chosen


def _mean_and_deviation(values: pl.Series) -> tuple[float, float]:
    array = values.to_numpy()
    deviation = array.std(ddof=1) if len(array) > 1 else 0.0
    return round(float(array.mean()), 4), round(float(deviation), 4)


def _blocks(runs: pl.DataFrame, settings: FigureSettings) -> tuple[pl.DataFrame, str]:
    figure, rows, metric = settings.figures.blocks, [], ""
    for model, probes in settings.blocks.items():
        gates = np.array(_of(runs, model, figure.task, figure.gated_probe)["gate"].to_list())
        for block, probe in enumerate(probes):
            linear = _of(runs, model, figure.task, probe)
            metric = linear["metric"][0]
            mean, std = _mean_and_deviation(linear["value"])
            weight, weight_std = _mean_and_deviation(pl.Series(gates[:, block]))
            rows.append((model, block + 1, mean, std, weight, weight_std))
    columns = ["model", "block", "mean", "std", "weight", "weight_std"]
    return pl.DataFrame(rows, schema=columns, orient="row"), metric


def _prototypes(runs: pl.DataFrame, settings: FigureSettings) -> tuple[pl.DataFrame, str]:
    sweep, rows, metric = settings.figures.sweep, [], ""
    for probe, count in settings.sweep.items():
        of_count = _of(runs, sweep.model, sweep.task, probe)
        metric = of_count["metric"][0]
        rows.append((count, *_mean_and_deviation(of_count["value"])))
    return pl.DataFrame(rows, schema=["prototypes", "mean", "std"], orient="row"), metric


def _curves(job: Job) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training curves of pretraining, and of fine-tuning averaged over folds and seeds."""
    pretraining: list[pl.DataFrame] = []
    finetuning: list[pl.DataFrame] = []
    for path in job.paths("curves"):
        maker = job.maker(path)
        labels = {key: pl.lit(value) for key, value in maker.selection.items()}
        table = pl.read_parquet(path).with_columns(**labels)
        (pretraining if maker.stage == "pretrain" else finetuning).append(table)
    tuning = (
        pl.concat(finetuning)
        .group_by("model", "task", "step", maintain_order=True)
        .agg(pl.col("loss").mean())
    )
    return pl.concat(pretraining), tuning


def _draw_frontends(job: Job, clip: int) -> None:
    names, spectrograms, clip_id = [], [], ""
    for path in job.paths("spectrograms"):
        shard = read_spectrograms(path)
        if clip >= len(shard.clip_ids):
            raise BatError(f"figures.frontends.clip: {clip}, but there are {len(shard.clip_ids)}")
        names.append(job.maker(path).selection["frontend"])
        spectrograms.append(shard.spectrogram[clip, 0].numpy())
        clip_id = shard.clip_ids[clip]
    draw_frontends(names, spectrograms, clip_id, job.output("frontends.png"))
