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
from torch import Tensor

from bat import finetuning
from bat.data.clips import Clips, read_clips
from bat.data.shards import read_spectrograms
from bat.evaluation.metrics import evaluate
from bat.models.checkpoint import InputScaling, read_encoder, save_encoder
from bat.models.encoder import AudioTransformer
from bat.models.tokens import Tokens
from bat.params import Finetuning, Params, Task, load, parse
from bat.probes import build, training
from bat.seeds import derive_seed
from bat.settings import Run, settings_for
from bat.stages.pretrain import input_scaling, train
from bat.stages.probe import Shape, build_probe
from bat.stages.targets import predictions, training_labels

# A meeting, the clips of the others, the clips of the meeting.
Fold = tuple[str, Tensor, Tensor]
TRAINING_KEYS = {"steps", "warmup_steps", "batch_size", "learning_rate", "weight_decay"}


@dataclass(frozen=True, kw_only=True)
class InnerData:
    """One task in one front end, cut down to the pretraining meetings of one group."""

    task: Task
    clips: Clips
    spectrograms: Tensor

    def score(self, logits: Tensor, one: Run, test: Tensor) -> float:
        predicted = predictions(logits, one, self.clips, test.numpy(), self.task)
        return evaluate(self.task.metrics[0], predicted.scores, predicted.present)

    def folds(self) -> Iterator[Fold]:
        for meeting in self.clips.meetings:
            train, test = self.clips.split(meeting)
            yield meeting, torch.from_numpy(train), torch.from_numpy(test)


def inner_data(
    arguments: argparse.Namespace, params: Params, task: str, frontend: str
) -> InnerData:
    """Read one task; nothing of another group's meetings leaves this function."""
    data = arguments.run / "data"
    clips = read_clips(data / f"manifest/{task}.parquet")
    path = data / f"spectrograms/{frontend}/{task}/spectrograms.safetensors"
    shard = read_spectrograms(path)
    clips.check_order(shard.clip_ids, path)
    kept = clips.of(params.groups[arguments.group].pretrain)
    return InnerData(
        task=params.tasks[task],
        clips=Clips(clips.manifest[kept], clips.classes, clips.present[kept]),
        spectrograms=shard.spectrogram[torch.from_numpy(kept)],
    )


def pretrain_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Pretrain as the stage does, with some settings changed; keep encoder and description."""
    model = params.models[arguments.model]
    selection = {"model": arguments.model, "group": arguments.group}
    settings = settings_for(params, "pretrain", selection)
    heard = inner_data(arguments, params, params.pretraining_clips, model.frontend).spectrograms
    scaling = input_scaling(heard, settings)
    grid = scaling(heard[:1]).shape[2] // model.encoder.patch_size
    architecture = model.encoder.model_dump()
    architecture |= {"mel_bins": heard.shape[3], "grid_time_patches": grid}
    torch.manual_seed(derive_seed(settings.seed, "encoder"))
    encoder = AudioTransformer(**architecture)
    start = time.perf_counter()
    losses: list[float] = []
    if model.pretraining is not None:
        encoder, curves = train(encoder, heard, scaling, model.pretraining, settings.seed)
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
def embed(encoder: AudioTransformer, scaling: InputScaling, spectrograms: Tensor) -> Tokens:
    """Tokens of all blocks in float16, as the stage stores them."""
    batches = [encoder(scaling(batch)) for batch in torch.split(spectrograms, 32)]
    return Tokens(
        cls=torch.cat([tokens.cls for tokens in batches], dim=1).half(),
        patches=torch.cat([tokens.patches for tokens in batches], dim=1).half(),
    )


def probe_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Score every combination of the grid for some probes on cached tokens."""
    encoder, scaling = read_encoder(candidate_folder(arguments) / "encoder.safetensors")
    for task in arguments.tasks:
        data = inner_data(arguments, params, task, frontend_of(arguments))
        tokens = embed(encoder, scaling, data.spectrograms)
        for method, changes in itertools.product(arguments.methods, grid_of(arguments.grid)):
            content = changed(params.model_dump(), f"probes.{method}", changes)
            settings = parse(content, "--grid").probes[method]
            one = partial(probed, settings, data, tokens)
            score_folds(arguments, data, task, method, changes, one)


def probed(settings: Any, data: InnerData, tokens: Tokens, fold: Fold, seed: int) -> Tensor:
    """Train a probe on one side of a fold and return its logits on the other."""
    name, train, test = fold
    torch.manual_seed(derive_seed(seed, name, "head"))
    shape = Shape(depth=tokens.cls.shape[0], width=tokens.cls.shape[2])
    probe = build_probe(settings, shape, len(data.clips.classes))
    features = training.features_of(probe, tokens)
    training.train_probe(
        probe,
        features[train],
        training_labels(data.clips, data.task)[train],
        loss_name=data.task.loss,
        min_learning_rate=settings.minimum_learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        seed=derive_seed(seed, name, "training"),
        **settings.model_dump(include=TRAINING_KEYS),
    )
    return training.predict(probe, features[test])


def finetune_candidate(arguments: argparse.Namespace, params: Params) -> None:
    """Score every combination of the grid for fine-tuning."""
    path = candidate_folder(arguments) / "encoder.safetensors"
    for task, changes in itertools.product(arguments.tasks, list(grid_of(arguments.grid))):
        data = inner_data(arguments, params, task, frontend_of(arguments))
        settings = parse(changed(params.model_dump(), "finetuning", changes), "--grid").finetuning
        one = partial(finetuned, settings, data, path)
        score_folds(arguments, data, task, "finetune", changes, one)


def finetuned(settings: Finetuning, data: InnerData, path: Path, fold: Fold, seed: int) -> Tensor:
    """Fine-tune on one side of a fold and return the logits on the other."""
    name, train, test = fold
    encoder, scaling = read_encoder(path, drop_path=settings.drop_path)
    torch.manual_seed(derive_seed(seed, name, "head"))
    head = build(
        "lp",
        depth=encoder.depth,
        width=encoder.width,
        classes=len(data.clips.classes),
        pooling=settings.pooling,
        dropout=settings.dropout,
    )
    finetuning.finetune(
        encoder,
        head,
        scaling,
        data.spectrograms[train],
        training_labels(data.clips, data.task)[train],
        settings.model_dump(),
        loss_name=data.task.loss,
        seed=derive_seed(seed, name, "training"),
    )
    return finetuning.predict(encoder, head, scaling, data.spectrograms[test], settings.batch_size)


def score_folds(
    arguments: argparse.Namespace,
    data: InnerData,
    task: str,
    method: str,
    changes: dict[str, Any],
    one: Callable[[Fold, int], Tensor],
) -> None:
    """Train and score on every inner fold and seed; append a line each to the scores."""
    for fold, seed in itertools.product(data.folds(), arguments.seeds):
        start = time.perf_counter()
        logits = one(fold, seed)
        run = Run(fold=fold[0], group=arguments.group, seed=seed)
        line = {
            "candidate": arguments.candidate,
            "method": method,
            "settings": " ".join(f"{key}={value}" for key, value in changes.items()),
            "task": task,
            "group": arguments.group,
            "fold": fold[0],
            "seed": seed,
            "score": data.score(logits, run, fold[2]),
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
