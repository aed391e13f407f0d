"""The figures, drawn from plain tables; the same table gives the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

mpl.use("Agg")
_STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.0,
    "grid.alpha": 0.3,
    # Fixed ids in vector output, should anybody want it.
    "svg.hashsalt": "bat",
}


def _save(figure: Figure, path: Path) -> None:
    # No version and no date in the file: the picture depends on the numbers only.
    figure.savefig(path, dpi=150, metadata={"Software": None})


def draw_training(pretraining: pl.DataFrame, finetuning: pl.DataFrame, path: Path) -> None:
    """Draw losses over steps: pretraining (CLS and patches) and fine-tuning.

    Parameters
    ----------
    pretraining
        Columns model, group, step, global_loss, local_loss.
    finetuning
        Columns model, task, step, loss (mean over folds and seeds).
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        patches, cls, tuning = figure.subplots(1, 3)
        for (model, group), curve in _groups(pretraining, ["model", "group"]):
            patches.plot(curve["step"], curve["local_loss"], label=f"{model}, {group}")
            cls.plot(curve["step"], curve["global_loss"], label=f"{model}, {group}")
        for (model, task), curve in _groups(finetuning, ["model", "task"]):
            tuning.plot(curve["step"], curve["loss"], label=f"{model}, {task}")
        cls.set_yscale("log")
        for axes, title in (
            (patches, "Pretraining: masked patches"),
            (cls, "Pretraining: CLS (logarithmic)"),
            (tuning, "Fine-tuning"),
        ):
            axes.set(title=title, xlabel="step", ylabel="loss")
            axes.legend(fontsize=7)
        _save(figure, path)


def draw_blocks(blocks: pl.DataFrame, path: Path) -> None:
    """Draw, per task, the linear probe per block (top) over the gate's weight per block (bottom).

    Parameters
    ----------
    blocks
        Columns task, metric, model, block (from 1), mean, std (in %), weight, weight_std.
    """
    models = blocks["model"].unique(maintain_order=True).to_list()
    tasks = blocks.select("task", "metric").unique(maintain_order=True).rows()
    with mpl.rc_context(_STYLE):
        size = (2.6 * len(models) + 0.6, 4.4 * len(tasks))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(
            2 * len(tasks), len(models), sharex="col", sharey="row", squeeze=False
        )
        for row, (task, metric) in enumerate(tasks):
            for column, model in enumerate(models):
                rows = blocks.filter(pl.col("model") == model, pl.col("task") == task)
                top, bottom = axes[2 * row : 2 * row + 2, column]
                top.errorbar(rows["block"], rows["mean"], yerr=rows["std"], marker="o", capsize=3)
                bottom.bar(rows["block"], rows["weight"], yerr=rows["weight_std"], capsize=3)
                top.set_title(f"{model}, {task}")
                bottom.set(xlabel="block", xticks=rows["block"].to_list())
            axes[2 * row, 0].set_ylabel(f"linear probe, {metric} (%)")
            axes[2 * row + 1, 0].set_ylabel("CGP gate weight")
        _save(figure, path)


def draw_prototypes(sweep: pl.DataFrame, model: str, path: Path) -> None:
    """Draw CGP's result against its number of prototypes, one panel per task.

    Parameters
    ----------
    sweep
        Columns task, metric, prototypes, mean, std (in %).
    """
    panels = sweep.partition_by("task", maintain_order=True)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.0 * len(panels) + 0.4, 3.2), layout="constrained")
        for axes, part in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            counts = part["prototypes"].to_list()
            axes.errorbar(counts, part["mean"], yerr=part["std"], marker="o", capsize=3)
            axes.set_xscale("log", base=2)
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.set(title=f"{model}, {part['task'][0]}", xlabel="prototypes")
            axes.set_ylabel(f"{part['metric'][0]} (%)")
        _save(figure, path)


def draw_attention(
    names: Sequence[str],
    maps: Sequence[NDArray[np.float32]],
    sinks: pl.DataFrame,
    path: Path,
) -> None:
    """Draw the last block's attention, and how much attention falls on CLS in every block.

    Parameters
    ----------
    maps
        One [1+N, 1+N] per model, mean over heads: query, then key; CLS first.
    sinks
        Columns model, block (from 1), cls_share.
    """
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(3.2 * len(names) + 3.4, 3.2), layout="constrained")
        row = figure.subplots(1, len(names) + 1, squeeze=False)[0]
        for axes, name, attention in zip(row, names, maps, strict=False):
            image = axes.imshow(np.log10(np.maximum(attention, 1e-6)), cmap="magma", vmin=-4)
            axes.set(title=name, xlabel="key (0 is CLS)", ylabel="query")
            figure.colorbar(image, ax=axes, label="log10 attention")
        for (model,), part in _groups(sinks, ["model"]):
            row[-1].plot(part["block"], part["cls_share"], marker="o", label=str(model))
        row[-1].set(title="attention of patches on CLS", xlabel="block", ylim=(0, None))
        row[-1].set_xticks(sinks["block"].unique().sort().to_list())
        row[-1].legend(fontsize=7)
        _save(figure, path)


def draw_frontends(
    names: Sequence[str], spectrograms: Sequence[NDArray[np.float32]], clip: str, path: Path
) -> None:
    """Draw what each front end makes of one clip.

    Parameters
    ----------
    spectrograms
        One [time, mel] per front end, before standardising.
    """
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
        row = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name, spectrogram in zip(row, names, spectrograms, strict=True):
            image = axes.imshow(spectrogram.T, origin="lower", aspect="auto", cmap="magma")
            axes.set(title=name, xlabel="frame (10 ms)", ylabel="mel bin")
            figure.colorbar(image, ax=axes)
        figure.suptitle(clip, fontsize=9)
        _save(figure, path)


def _groups(table: pl.DataFrame, keys: list[str]) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    return list(table.partition_by(keys, maintain_order=True, as_dict=True).items())
