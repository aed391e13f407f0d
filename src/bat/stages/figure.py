"""Draw the figures, each beside the table of numbers that it shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bat.data.shards import SpectrogramShard, read_spectrograms
from bat.errors import BatError
from bat.evaluation.figures import (
    draw_attention,
    draw_blocks,
    draw_frontends,
    draw_prototypes,
    draw_training,
)
from bat.models.checkpoint import read_encoder
from bat.models.encoder import AudioTransformer
from bat.params.results import AttentionFigure, BlockFigure, PrototypeSweep
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.settings import FigureSettings

DETERMINISM = "bitwise-same-hardware"
# Numbers are percent, or shares; of a picture only the form can be compared.
TOLERANCES = {
    "blocks.csv": Tolerance(absolute=0.1),
    "prototypes.csv": Tolerance(absolute=0.1),
    "attention.csv": Tolerance(absolute=1e-3),
    **dict.fromkeys(
        ("blocks.png", "prototypes.png", "frontends.png", "attention.png", "training.png")
    ),
}


def run(job: Job, settings: FigureSettings) -> None:
    """Write the figures that the parameters ask for as PNG, with the CSV files behind them."""
    figures = settings.figures
    runs = _runs(job)
    if figures.blocks is not None:
        blocks = _blocks(runs, settings.blocks, figures.blocks)
        blocks.write_csv(job.output("blocks.csv"))
        draw_blocks(blocks, job.output("blocks.png"))
    if figures.sweep is not None:
        counts = _prototypes(runs, settings.sweep, figures.sweep)
        counts.write_csv(job.output("prototypes.csv"))
        draw_prototypes(counts, figures.sweep.model, job.output("prototypes.png"))
    if figures.frontends is not None:
        _draw_frontends(job, figures.frontends.task, figures.frontends.clip)
    if figures.attention is not None:
        _draw_attention(job, figures.attention, settings.frontends)
    draw_training(*_curves(job), job.output("training.png"))


def _runs(job: Job) -> pl.DataFrame:
    """One row per run of every probe: model, task, method, metric, value, gate."""
    rows: list[dict[str, Any]] = []
    for path in job.paths("metrics") if job.has("metrics") else []:
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


def _blocks(
    runs: pl.DataFrame, methods: dict[str, dict[str, list[str]]], figure: BlockFigure
) -> pl.DataFrame:
    rows = []
    for task, of_model in methods.items():
        for model, probes in of_model.items():
            gates = np.array(_of(runs, model, task, figure.gated_probe)["gate"].to_list())
            for block, probe in enumerate(probes):
                linear = _of(runs, model, task, probe)
                result = _mean_and_deviation(linear["value"])
                weight = _mean_and_deviation(pl.Series(gates[:, block]))
                rows.append((task, linear["metric"][0], model, block + 1, *result, *weight))
    columns = ["task", "metric", "model", "block", "mean", "std", "weight", "weight_std"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _prototypes(
    runs: pl.DataFrame, methods: dict[str, dict[str, int]], figure: PrototypeSweep
) -> pl.DataFrame:
    rows = []
    for task, of_count in methods.items():
        for probe, count in of_count.items():
            found = _of(runs, figure.model, task, probe)
            rows.append((task, found["metric"][0], count, *_mean_and_deviation(found["value"])))
    columns = ["task", "metric", "prototypes", "mean", "std"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _curves(job: Job) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training curves of pretraining, and of fine-tuning averaged over folds and seeds."""
    pretraining: list[pl.DataFrame] = []
    finetuning: list[pl.DataFrame] = []
    for path in job.paths("curves") if job.has("curves") else []:
        maker = job.maker(path)
        labels = {key: pl.lit(value) for key, value in maker.selection.items()}
        table = pl.read_parquet(path).with_columns(**labels)
        (pretraining if maker.stage == "pretrain" else finetuning).append(table)
    tuning = [
        table.group_by("model", "task", "step", maintain_order=True).agg(pl.col("loss").mean())
        for table in finetuning
    ]
    return _joined(pretraining), _joined(tuning)


def _joined(tables: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(tables) if tables else pl.DataFrame({"model": [], "group": [], "task": []})


def _shard(path: Path, clip: int, key: str) -> SpectrogramShard:
    shard = read_spectrograms(path)
    if clip >= len(shard.clip_ids):
        raise BatError(f"{key}: {clip}, but there are {len(shard.clip_ids)}")
    return shard


def _draw_frontends(job: Job, task: str, clip: int) -> None:
    names, spectrograms, clip_id = [], [], ""
    for path in job.paths("spectrograms"):
        maker = job.maker(path)
        if maker.selection["task"] != task:
            continue
        shard = _shard(path, clip, "figures.frontends.clip")
        names.append(maker.selection["frontend"])
        spectrograms.append(shard.spectrogram[clip, 0].numpy())
        clip_id = shard.clip_ids[clip]
    draw_frontends(names, spectrograms, clip_id, job.output("frontends.png"))


def _draw_attention(job: Job, figure: AttentionFigure, frontends: dict[str, str]) -> None:
    """Draw the attention of one clip in the first group's encoders, and how much CLS draws."""
    shards = {path: job.maker(path).selection for path in job.paths("spectrograms")}
    maps, rows = [], []
    for path in job.paths("encoder"):
        model = job.maker(path).selection["model"]
        encoder, scaling = read_encoder(path)
        if not isinstance(encoder, AudioTransformer):
            raise BatError(f"figures.attention.models: {model} is no audio transformer")
        (heard,) = [
            shard
            for shard, selection in shards.items()
            if selection == {"frontend": frontends[model], "task": figure.task}
        ]
        shard = _shard(heard, figure.clip, "figures.attention.clip")
        attention = encoder.attention(scaling(shard.spectrogram[figure.clip][None])).mean(dim=2)
        maps.append(attention[-1, 0].numpy())
        shares = attention[:, 0, 1:, 0].mean(dim=-1).tolist()
        rows += [(model, block, round(share, 6)) for block, share in enumerate(shares, 1)]
    sinks = pl.DataFrame(rows, schema=["model", "block", "cls_share"], orient="row")
    sinks.write_csv(job.output("attention.csv"))
    draw_attention(figure.models, maps, sinks, job.output("attention.png"))
