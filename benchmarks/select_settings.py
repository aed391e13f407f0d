r"""Choose the settings of the embedded experiment without looking at a reported fold.

The reported folds train on four meetings and test on the fifth, with an encoder that never heard
the fifth. Here only the meetings of one pretraining group exist: an encoder is pretrained on them,
probes and fine-tuning train on all but one of them and are scored on that one. The score of a
setting is the mean over the two groups of the mean over these inner folds.

    python benchmarks/select_settings.py pretrain --run . --out build/select --group early \
        --candidate views-8 --set pretraining.views=8
    python benchmarks/select_settings.py probe --run . --out build/select --group early \
        --candidate views-8 --methods cgp lp --grid learning_rate=0.01,0.05
    python benchmarks/select_settings.py finetune --run . --out build/select --group early \
        --candidate views-8 --grid learning_rate=0.0005,0.001
    python benchmarks/select_settings.py table --out build/select
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch
from ruamel.yaml import YAML

from bat.data.clips import Clips, read_clips
from bat.data.shards import read_spectrograms
from bat.evaluation.metrics import evaluate
from bat.evaluation.predictions import Predictions
from bat.inputs.spectrograms import CachedSpectrograms
from bat.models.base import Encoder
from bat.models.checkpoint import InputScaling, read_encoder, save_encoder
from bat.models.tokens import Tokens
from bat.params import FINETUNE, Params, load, parse
from bat.seeds import derive_seed
from bat.settings import Run, settings_for
from bat.stages.architecture import architecture_of, build
from bat.stages.finetune import train_and_test as finetune_and_test
from bat.stages.pretrain import feed_of, input_scaling, train
from bat.stages.probe import train_and_test as probe_and_test
from bat.stages.reading.cached import CachedTokens
from bat.stages.targets import Targets, targets_of


@dataclass(frozen=True, kw_only=True)
class InnerData:
    """One task in one front end, cut down to the pretraining meetings of one group."""

    clips: Clips
    inputs: CachedSpectrograms

    def runs(self, group: str, seeds: list[int]) -> Iterator[Run]:
        """Every inner fold, one meeting left out, with every seed."""
        for meeting, seed in itertools.product(self.clips.parts, seeds):
            others = [part for part in self.clips.parts if part != meeting]
            yield Run(
                fold=meeting, train=others, validation=[], test=[meeting], group=group, seed=seed
            )


def inner_data(
    arguments: argparse.Namespace, params: Params, task: str, frontend: str, *, roll: bool = False
) -> InnerData:
    """Read one task; nothing of another group's meetings leaves this function."""
    data = arguments.run / "data"
    clips = read_clips(data / f"manifest/{task}/manifest.parquet")
    path = data / f"spectrograms/{frontend}/{task}/spectrograms.safetensors"
    shard = read_spectrograms(path)
    clips.check_order(shard.clip_ids, path)
    kept = clips.of(params.groups[arguments.group].pretrain)
    return InnerData(
        clips=Clips(clips.manifest[kept.tolist()], clips.order),
        inputs=CachedSpectrograms(shard.spectrogram[torch.from_numpy(kept)], roll=roll),
    )


def pretrain_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Pretrain as the stage does, with some settings changed; keep encoder and description."""
    model = params.models[arguments.model]
    selection = {"model": arguments.model, "group": arguments.group}
    settings = settings_for(params, "pretrain", selection)
    data = inner_data(arguments, params, params.pretraining_clips, model.frontend, roll=True)
    heard = torch.arange(data.clips.manifest.height)
    scaling = input_scaling(data.inputs, heard, settings)
    example = scaling(data.inputs(heard[:1]))
    architecture = architecture_of(
        model.encoder,
        mel_bins=example.shape[3],
        time_patches=example.shape[2] // scaling.patch_size,
    )
    torch.manual_seed(derive_seed(settings.seed, "encoder"))
    encoder: Any = build(model.encoder, architecture)
    start = time.perf_counter()
    losses: list[float] = []
    if model.pretraining is not None:
        feed = feed_of(data.inputs, scaling, settings)
        encoder, curves = train(encoder, feed, heard, settings)
        losses = curves["local_loss"].gather_every(10).round(3).to_list()
    description = {"frontend": model.frontend, "set": arguments.set, "local_loss": losses}
    description["seconds"] = time.perf_counter() - start
    folder = candidate_folder(arguments)
    folder.mkdir(parents=True, exist_ok=True)
    save_encoder(folder / "encoder.safetensors", encoder, architecture, scaling)
    (folder / "candidate.json").write_text(json.dumps(description))


def candidate_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.out / arguments.candidate / arguments.group
    return folder


@torch.no_grad()
def embed(encoder: Encoder, scaling: InputScaling, inputs: CachedSpectrograms) -> Tokens:
    """Tokens of all blocks in float16, as the stage stores them."""
    batches = [encoder(scaling(batch)) for batch in torch.split(inputs.spectrogram, 32)]
    return Tokens(
        cls=torch.cat([tokens.cls for tokens in batches], dim=1).half(),
        patches=torch.cat([tokens.patches for tokens in batches], dim=1).half(),
    )


def probe_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Score every combination of the grid for some probes on cached tokens."""
    encoder, scaling = read_encoder(candidate_folder(arguments) / "encoder.safetensors")
    for task in arguments.tasks:
        data = inner_data(arguments, params, task, frontend_of(arguments))
        tokens = embed(encoder, scaling, data.inputs)
        for method, changes in itertools.product(arguments.methods, list(grid_of(arguments.grid))):
            settings = changed_settings(
                params, "probe", {"method": method, **cell(arguments, task)}, changes
            )
            # One reader for each combination: it keeps the features of the first probe it meets.
            reader = CachedTokens(tokens)
            targets = targets_of(settings.goal, data.clips, reader.time_patches)
            one = partial(probed, settings=settings, targets=targets, reader=reader)
            score_runs(arguments, data, task, method, changes, one)


def probed(run: Run, *, settings: Any, targets: Targets, reader: CachedTokens) -> Predictions:
    return probe_and_test(run, settings, targets, reader).predictions


def finetune_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Score every combination of the grid for fine-tuning."""
    path = candidate_folder(arguments) / "encoder.safetensors"
    for task, changes in itertools.product(arguments.tasks, list(grid_of(arguments.grid))):
        data = inner_data(arguments, params, task, frontend_of(arguments))
        settings = changed_settings(params, FINETUNE, cell(arguments, task), changes)
        targets: Any = targets_of(settings.goal, data.clips, data.inputs.frames)
        one = partial(
            finetuned, settings=settings, targets=targets, inputs=data.inputs, encoder_path=path
        )
        score_runs(arguments, data, task, FINETUNE, changes, one)


def finetuned(run: Run, **arguments: Any) -> Predictions:
    return finetune_and_test(run, **arguments)[0]


def cell(arguments: argparse.Namespace, task: str) -> dict[str, str]:
    return {"model": arguments.model, "task": task, "part": "all"}


def changed_settings(
    params: Params, stage: str, selection: dict[str, str], changes: dict[str, Any]
) -> Any:
    """Settings of a job with some keys of its probe or of fine-tuning changed."""
    section = f"probes.{selection['method']}" if "method" in selection else "finetuning"
    content = changed(params.model_dump(), section, changes)
    return settings_for(parse(content, "--grid"), stage, selection)


def score_runs(
    arguments: argparse.Namespace,
    data: InnerData,
    task: str,
    method: str,
    changes: dict[str, Any],
    one: Callable[[Run], Predictions],
) -> None:
    """Train and score on every inner fold and seed; append a line each to the scores."""
    metric = load(arguments.params).labelled[task].metrics[0]
    for run in data.runs(arguments.group, arguments.seeds):
        start = time.perf_counter()
        line = {
            "candidate": arguments.candidate,
            "method": method,
            "settings": " ".join(f"{key}={value}" for key, value in changes.items()),
            "task": task,
            "group": arguments.group,
            "fold": run.fold,
            "seed": run.seed,
            "score": evaluate(metric, one(run)),
            "seconds": time.perf_counter() - start,
        }
        with (arguments.out / f"scores-{arguments.group}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def print_table(arguments: argparse.Namespace) -> None:
    """Print the inner scores of every candidate and setting, per group and their mean."""
    lines = pl.concat([pl.read_ndjson(path) for path in arguments.out.glob("scores-*.jsonl")])
    lines = lines.unique(["candidate", "method", "settings", "task", "fold", "seed"], keep="last")
    keys = ["method", "candidate", "settings"]
    by_fold = lines.group_by([*keys, "task", "group", "fold"]).agg(pl.mean("score", "seconds"))
    by_group = by_fold.group_by([*keys, "task", "group"]).agg(pl.mean("score", "seconds"))
    tasks, groups = (lines[column].unique().sort().to_list() for column in ("task", "group"))
    heading = [f"{task} {group}" for task in tasks for group in [*groups, "mean"]]
    print(" | ".join([*keys, *heading, "seconds per fold"]))
    for names, rows in sorted(by_group.group_by(keys)):
        cells = []
        for task in tasks:
            of_task = rows.filter(pl.col("task") == task)
            scores = dict(of_task.select("group", "score").iter_rows())
            cells += [scores.get(group, float("nan")) for group in groups]
            cells.append(sum(cells[-len(groups) :]) / len(groups))
        seconds = rows["seconds"].mean()
        print(" | ".join([*names, *(f"{cell:.3f}" for cell in cells), f"{seconds:.1f}"]))


def grid_of(grid: list[str]) -> Iterator[dict[str, Any]]:
    """Every combination of ``KEY=A,B`` ``KEY=C,D``."""
    keys = [item.partition("=")[0] for item in grid]
    values = [
        [YAML(typ="safe").load(value) for value in item.partition("=")[2].split(",")]
        for item in grid
    ]
    return (dict(zip(keys, combination, strict=True)) for combination in itertools.product(*values))


def changed(content: dict[str, Any], section: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Set dotted keys below a section of the parameters, in place."""
    for dotted, value in changes.items():
        *parents, key = f"{section}.{dotted}".split(".")
        node = content
        for parent in parents:
            node = node[parent]
        node[key] = value
    return content


def frontend_of(arguments: argparse.Namespace) -> str:
    description = json.loads((candidate_folder(arguments) / "candidate.json").read_text())
    return str(description["frontend"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", choices=["pretrain", "probe", "finetune", "table"])
    parser.add_argument("--run", type=Path, default=Path(), help="folder with data/ of a run")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, required=True, help="encoders and scores go here")
    parser.add_argument("--group", help="pretraining group")
    parser.add_argument("--candidate", help="name of the encoder")
    parser.add_argument("--model", default="bat-mini", help="model of the parameters to start from")
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of the model")
    parser.add_argument("--grid", nargs="*", default=[], help="KEY=VALUE,VALUE of the probe")
    parser.add_argument("--methods", nargs="*", default=["cgp", "lcgp", "lp"])
    parser.add_argument("--tasks", nargs="*", default=["speaker", "mixture"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")
    if arguments.job == "table":
        print_table(arguments)
        return
    params = load(arguments.params)
    if arguments.set:
        (changes,) = grid_of(arguments.set)
        content = changed(params.model_dump(), f"models.{arguments.model}", changes)
        params = parse(content, "--set")
    jobs = {"pretrain": pretrain_candidate, "probe": probe_candidate}
    jobs.get(arguments.job, finetune_candidate)(arguments, params)


if __name__ == "__main__":
    main()
