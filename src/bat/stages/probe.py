"""Train and test a probe on cached tokens, once per fold and seed."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from bat.data.clips import Clips, read_clips
from bat.data.shards import read_tokens
from bat.evaluation.runs import run_metrics, write_predictions
from bat.evaluation.statistics import Predictions
from bat.models.tokens import Tokens
from bat.params import Probe as ProbeParameters
from bat.probes import build
from bat.probes.base import Probe
from bat.probes.training import features_of, predict, train_probe
from bat.progress import track
from bat.provenance.job import Job
from bat.seeds import derive_seed
from bat.settings import ProbeSettings, Run
from bat.stages.targets import predictions, training_labels

DETERMINISM = "bitwise-same-hardware"
_TRAINING_KEYS = {"steps", "warmup_steps", "batch_size", "learning_rate", "weight_decay"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Blocks and width of the encoder whose tokens a probe reads."""

    depth: int
    width: int


def run(job: Job, settings: ProbeSettings) -> None:
    """Write ``metrics.json``, ``predictions.parquet`` and the trained ``heads.safetensors``."""
    torch.set_float32_matmul_precision(settings.compute.float32_matmul_precision)
    clips = read_clips(job.path("manifest"))
    features, shape = _features_by_group(job, clips, settings.probe)
    predicted_runs, metrics, heads = [], [], {}
    for one in track(settings.runs, "probing"):
        probe, predicted, losses = _train_and_test(one, settings, clips, features[one.group], shape)
        details = {"last_loss": losses[-1], "gate": gate_weights(probe)}
        predicted_runs.append(predicted)
        metrics.append(run_metrics(predicted, settings.task.metrics, **details))
        heads.update(
            {f"{one.fold}/{one.seed}/{name}": value for name, value in probe.state_dict().items()}
        )
    write_predictions(job.output("predictions.parquet"), predicted_runs)
    job.write_json("metrics.json", {**job.selection, "classes": clips.classes, "runs": metrics})
    save_file(heads, job.output("heads.safetensors"))


def _features_by_group(
    job: Job, clips: Clips, parameters: ProbeParameters
) -> tuple[dict[str, Tensor], Shape]:
    """Return what the probe reads of every clip, by pretraining group, and the encoder's shape."""
    features, shape = {}, Shape(depth=0, width=0)
    for path in job.paths("tokens"):
        shard = read_tokens(path)
        clips.check_order(shard.clip_ids, path)
        shape = Shape(depth=shard.cls.shape[0], width=shard.cls.shape[2])
        probe = build_probe(parameters, shape, len(clips.classes))
        group = job.maker(path).selection["group"]
        features[group] = features_of(probe, Tokens(shard.cls, shard.patches))
    return features, shape


def _train_and_test(
    one: Run, settings: ProbeSettings, clips: Clips, features: Tensor, shape: Shape
) -> tuple[Probe, Predictions, list[float]]:
    train, test = clips.split(one.fold)
    train_index, test_index = torch.from_numpy(train), torch.from_numpy(test)
    torch.manual_seed(derive_seed(one.seed, one.fold, "head"))
    probe = build_probe(settings.probe, shape, len(clips.classes))
    losses = train_probe(
        probe,
        features[train_index],
        training_labels(clips, settings.task)[train_index],
        loss_name=settings.task.loss,
        min_learning_rate=settings.probe.minimum_learning_rate,
        betas=(settings.probe.betas[0], settings.probe.betas[1]),
        seed=derive_seed(one.seed, one.fold, "training"),
        **settings.probe.model_dump(include=_TRAINING_KEYS),
    )
    logits = predict(probe, features[test_index])
    return probe, predictions(logits, one, clips, test, settings.task), losses


def build_probe(parameters: ProbeParameters, shape: Shape, classes: int) -> Probe:
    """Build the probe of some parameters for an encoder of some shape."""
    excluded = {"kind", "minimum_learning_rate", "betas"} | _TRAINING_KEYS
    options = parameters.model_dump(exclude=excluded)
    return build(parameters.kind, **asdict(shape), classes=classes, **options)


def gate_weights(probe: Probe) -> list[float] | None:
    """Weight that a gated probe gives to each block; None for the others."""
    weights: Any = getattr(probe, "gate_weights", None)
    if weights is None:
        return None
    of_blocks: Tensor = weights().detach()
    return [float(weight) for weight in of_blocks]
