"""What each stage sees of the parameters, and nothing more.

A stage is handed one of these models. Its content goes into the recipe and decides whether a job
must run again; a parameter that is not in a stage's settings cannot move its result.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import ValidationError

from bat.acquisition.catalogue import facts_of, published, published_weights
from bat.errors import BatError
from bat.params import FINETUNE, Params
from bat.params.base import Strict
from bat.params.data import (
    ClipKind,
    Decoding,
    FileSource,
    FolderSource,
    FrameWiseTask,
    Group,
    LabelledTask,
    Layout,
    MultiClassTask,
    Only,
    PackageIndexSource,
    PublishedSource,
    Sampling,
    Selection,
    Transforms,
)
from bat.params.methods import Baseline, Compute, Finetuning, Probe
from bat.params.models import Adapter, Encoder, Frontend, Pretraining, Weights
from bat.params.results import Figures, Statistics
from bat.provenance.hashing import sha256_of_file
from bat.variants import block_methods, sweep_methods


class DownloadSettings(Strict):
    """The archive to fetch."""

    source: PackageIndexSource | FileSource


class InventorySettings(Strict):
    """The folder whose files are taken stock of."""

    source: FolderSource


class AcquireSettings(Strict):
    """Which copy of a published data set to fetch, and what rate to bring its recordings to.

    ``files``: what the catalogue says of that copy, without what it says to people. ``parts``:
    those that are wanted; null is all.
    """

    source: PublishedSource
    files: dict[str, Any]
    parts: list[str] | None
    rate_hz: int


class AccountSettings(Strict):
    """Which files are recordings, and which of them are not used."""

    layout: Layout
    rate_hz: int
    minimum_duration_s: float
    excludes: list[str]
    excluded: dict[str, str]
    maximum_bad_share: float


class ResampleSettings(AccountSettings):
    """The same for files that lie here, which are brought to one rate on the way."""

    folder: str | None
    inner: str | None
    inner_sha256: str | None


class PrepareSettings(Strict):
    """How recordings become the clips of a task, and the parts that there must be."""

    clips: ClipKind
    only: Only | None
    parts: list[str]
    one_label: bool


class Hearing(Strict):
    """From waveforms to what an encoder is fed, where nothing is cached."""

    frontend: Frontend
    rate_hz: int
    samples: int | None
    padding: Literal["spectrogram", "waveform"]
    transforms: Transforms


class FrontendSettings(Strict):
    """From PCM to cached spectrograms of one task."""

    rate_hz: int
    samples: int | None
    frontend: Frontend


class WeightsSettings(Strict):
    """The published checkpoint to fetch, and what the catalogue says of its files."""

    name: str
    files: dict[str, Any]


class ConvertSettings(Strict):
    """A published checkpoint and the encoder that it must fit exactly."""

    encoder: Encoder
    weights: Weights


class PretrainSettings(Strict):
    """One encoder of one pretraining group; without ``pretraining`` it stays as initialised."""

    encoder: Encoder
    adapter_sha256: str | None
    standardise: bool
    deviations: float
    pretraining: Pretraining | None
    group: Group
    minimum_frames: int
    hearing: Hearing | None
    seed: int
    compute: Compute


class EmbedSettings(Strict):
    """From spectrograms to tokens."""

    minimum_frames: int
    compute: Compute


class Run(Strict):
    """One training: the parts on either side of a fold, whose encoder may be used, and a seed."""

    fold: str
    train: list[str]
    validation: list[str]
    test: list[str]
    group: str
    seed: int


class Goal(Strict):
    """What a task asks for; ``frame_s`` is the length of a time patch of a frame-wise task."""

    kind: Literal["multi-class", "multi-label", "frame-wise", "transcript"]
    loss: str
    metrics: list[str]
    decoding: Decoding | None
    frame_s: float | None


class Training(Strict):
    """How clips are drawn in training, and which state of the model is tested."""

    sampling: Sampling
    selection: Selection
    test_batch_size: int


class ProbeSettings(Strict):
    """A probe on one task, for every run of one job."""

    goal: Goal
    probe: Probe
    training: Training
    runs: list[Run]
    minimum_frames: int
    hearing: Hearing | None
    compute: Compute


class FinetuneSettings(Strict):
    """Fine-tuning on one task, for every run of one job."""

    goal: Goal
    finetuning: Finetuning
    training: Training
    runs: list[Run]
    minimum_frames: int
    hearing: Hearing | None
    compute: Compute


class BaselineSettings(Strict):
    """Logistic regression on log-mel statistics."""

    goal: Goal
    baseline: Baseline
    runs: list[Run]


class FigureSettings(Strict):
    """Which runs go into which figure: methods by prototypes, and by model and block."""

    figures: Figures
    sweep: dict[str, dict[str, int]]
    blocks: dict[str, dict[str, list[str]]]
    frontends: dict[str, str]


class AuditSettings(Strict):
    """What must hold of every record before a table is made."""

    groups: dict[str, Group]


class TableSettings(Strict):
    """Rows, columns and statistics of the main table."""

    models: list[str]
    pretrained: list[str]
    published: list[str]
    methods: list[str]
    tasks: list[str]
    metrics: dict[str, list[str]]
    folds: dict[str, list[str]]
    seeds: dict[str, list[int]]
    statistics: Statistics


Selected = Mapping[str, str]


def runs_of(params: Params, stage: str, task: str, part: str) -> list[Run]:
    """Return the runs that belong to a part of a cell.

    Raises
    ------
    BatError
        If no fold or seed belongs to it.
    """
    seeds = {"probe": params.seeds.probe, FINETUNE: params.seeds.finetune}.get(stage, [0])
    runs = [
        Run(
            fold=fold.name,
            train=fold.train,
            validation=fold.validation,
            test=fold.test,
            group=params.group_of(task, fold),
            seed=seed,
        )
        for fold in params.folds(task)
        for seed in seeds
    ]
    chosen = [run for run in runs if part in part_names(run.fold, run.seed)]
    if not chosen:
        raise BatError(f"{stage}: no fold or seed of {task} belongs to part {part!r}")
    return chosen


def part_names(fold: str, seed: int) -> dict[str, str]:
    """Names of the parts that a run belongs to, with the grain that each stands for."""
    return {"all": "cell", fold: "fold", f"{fold}.seed-{seed}": "run"}


def _download(params: Params, selection: Selected) -> DownloadSettings:
    source = _known(params.datasets, selection["dataset"], "data set").source
    if isinstance(source, FolderSource):
        raise BatError(f"{selection['dataset']}: a folder is not downloaded; see bat inventory")
    if isinstance(source, PublishedSource):
        raise BatError(f"{selection['dataset']}: a published data set; see bat acquire")
    return DownloadSettings(source=source)


def _acquire(params: Params, selection: Selected) -> AcquireSettings:
    dataset = _known(params.datasets, selection["dataset"], "data set")
    source = dataset.source
    if not isinstance(source, PublishedSource):
        raise BatError(f"{selection['dataset']}: expected a source of kind published")
    return AcquireSettings(
        source=source,
        files=facts_of(published(source.name), source.mirror),
        parts=getattr(dataset.layout, "parts", None),
        rate_hz=dataset.rate_hz,
    )


def _account(params: Params, selection: Selected) -> AccountSettings:
    dataset = _known(params.datasets, selection["dataset"], "data set")
    if not isinstance(dataset.source, PublishedSource):
        raise BatError(f"{selection['dataset']}: not a published data set; see bat resample")
    return AccountSettings(**dataset.model_dump(exclude={"source"}))


def _inventory(params: Params, selection: Selected) -> InventorySettings:
    source = _known(params.datasets, selection["dataset"], "data set").source
    if not isinstance(source, FolderSource):
        raise BatError(f"{selection['dataset']}: expected a source of kind folder")
    return InventorySettings(source=source)


def _resample(params: Params, selection: Selected) -> ResampleSettings:
    dataset = _known(params.datasets, selection["dataset"], "data set")
    source = dataset.source
    if isinstance(source, PublishedSource):
        raise BatError(f"{selection['dataset']}: a published data set; see bat acquire")
    return ResampleSettings(
        folder=source.path if isinstance(source, FolderSource) else None,
        inner=getattr(source, "inner", None),
        inner_sha256=getattr(source, "inner_sha256", None),
        **dataset.model_dump(exclude={"source"}),
    )


def _prepare(params: Params, selection: Selected) -> PrepareSettings:
    task = _known(params.tasks, selection["task"], "task")
    folds = params.folds(selection["task"]) if selection["task"] in params.labelled else []
    needed = [part for fold in folds for part in (*fold.train, *fold.validation, *fold.test)]
    return PrepareSettings(
        clips=task.clips,
        only=task.only,
        parts=sorted(set(needed or getattr(task, "parts", []))),
        one_label=isinstance(task, MultiClassTask),
    )


def _frontend(params: Params, selection: Selected) -> FrontendSettings:
    task = _known(params.tasks, selection["task"], "task")
    return FrontendSettings(
        rate_hz=params.datasets[task.dataset].rate_hz,
        samples=task.input.samples,
        frontend=params.frontend_of(selection["frontend"], selection["task"]),
    )


def _weights(_: Params, selection: Selected) -> WeightsSettings:
    return WeightsSettings(
        name=selection["weights"], files=facts_of(published_weights(selection["weights"]), None)
    )


def _convert(params: Params, selection: Selected) -> ConvertSettings:
    model = _known(params.models, selection["model"], "model")
    if model.weights is None:
        raise BatError(f"{selection['model']}: has no published weights to convert")
    return ConvertSettings(encoder=model.encoder, weights=model.weights)


def _pretrain(params: Params, selection: Selected) -> PretrainSettings:
    model = _known(params.models, selection["model"], "model")
    clips = params.pretraining_clips
    frontend = params.frontend_of(model.frontend, clips)
    return PretrainSettings(
        encoder=model.encoder,
        adapter_sha256=_adapter_sha256(model.encoder),
        standardise=frontend.statistics == "pretraining",
        # the legacy front ends divide by two deviations (Audio-MAE and its successors)
        deviations=2.0 if frontend.kind == "legacy" else 1.0,
        pretraining=model.pretraining,
        group=_known(params.groups, selection["group"], "group"),
        minimum_frames=params.tasks[clips].input.minimum_frames,
        hearing=_hearing(params, selection["model"], clips),
        seed=params.seeds.pretrain,
        compute=params.compute,
    )


def _adapter_sha256(encoder: Encoder) -> str | None:
    """Hash the user's own file: as code of the job it decides whether the job runs again."""
    if not isinstance(encoder, Adapter):
        return None
    path = Path(encoder.factory.rpartition(":")[0])
    if not path.is_file():
        raise BatError(f"{path}: the encoder's file is not there")
    return sha256_of_file(path)


def _hearing(params: Params, model: str, task: str) -> Hearing | None:
    settings = params.tasks[task]
    if settings.input.cached:
        return None
    return Hearing(
        frontend=params.frontend_of(params.models[model].frontend, task),
        rate_hz=params.datasets[settings.dataset].rate_hz,
        samples=settings.input.samples,
        padding=settings.input.padding,
        transforms=getattr(settings, "transforms", Transforms()),
    )


def _embed(params: Params, selection: Selected) -> EmbedSettings:
    task = _known(params.tasks, selection["task"], "task")
    return EmbedSettings(minimum_frames=task.input.minimum_frames, compute=params.compute)


def goal_of(params: Params, task: str, model: str | None = None) -> Goal:
    """Return what a task asks of a model (frame-wise tasks need to know which)."""
    settings: LabelledTask = _known(params.labelled, task, "task")
    frame_wise = isinstance(settings, FrameWiseTask)
    return Goal(
        kind=settings.kind,
        loss=settings.loss,
        metrics=[*settings.metrics],
        decoding=getattr(settings, "decoding", None),
        frame_s=_frame_s(params, task, model) if model and frame_wise else None,
    )


def _frame_s(params: Params, task: str, model: str) -> float:
    """Length of a time patch: 16 frames of 10 ms in the paper."""
    rate_hz = params.datasets[params.tasks[task].dataset].rate_hz
    hop = getattr(params.frontend_of(params.models[model].frontend, task), "hop", rate_hz // 100)
    return float(getattr(params.models[model].encoder, "patch_size", 16) * hop / rate_hz)


def _training(task: LabelledTask) -> Training:
    return Training(
        sampling=task.sampling, selection=task.selection, test_batch_size=task.test_batch_size
    )


def _common(params: Params, stage: str, selection: Selected) -> dict[str, Any]:
    """Return the settings that probing and fine-tuning share."""
    task, model = selection["task"], selection["model"]
    settings = _known(params.labelled, task, "task")
    _known(params.models, model, "model")
    return {
        "goal": goal_of(params, task, model),
        "training": _training(settings),
        "runs": runs_of(params, stage, task, selection["part"]),
        "minimum_frames": settings.input.minimum_frames,
        "hearing": _hearing(params, model, task),
        "compute": params.compute,
    }


def _probe(params: Params, selection: Selected) -> ProbeSettings:
    common = _common(params, "probe", selection)
    return ProbeSettings(probe=params.probe_of(selection["task"], selection["method"]), **common)


def _finetune(params: Params, selection: Selected) -> FinetuneSettings:
    common = _common(params, FINETUNE, selection)
    return FinetuneSettings(finetuning=params.finetuning_of(selection["task"]), **common)


def _baseline(params: Params, selection: Selected) -> BaselineSettings:
    baseline, task = params.baseline, selection["task"]
    if baseline is None:
        raise BatError("baseline: the parameters have none")
    return BaselineSettings(
        goal=goal_of(params, task),
        baseline=baseline,
        runs=runs_of(params, "baseline", task, "all"),
    )


def _figure(params: Params, _: Selected) -> FigureSettings:
    figures = params.figures
    return FigureSettings(
        figures=figures,
        sweep={task: sweep_methods(params, task) for task in _of(figures.sweep, "tasks")},
        blocks={
            task: {
                model: block_methods(params, task, model) for model in _of(figures.blocks, "models")
            }
            for task in _of(figures.blocks, "tasks")
        },
        frontends={
            model: params.models[model].frontend for model in _of(figures.attention, "models")
        },
    )


def _of(figure: Strict | None, key: str) -> list[str]:
    return getattr(figure, key) if figure is not None else []


def _audit(params: Params, _: Selected) -> AuditSettings:
    return AuditSettings(groups=params.groups)


def _table(params: Params, _: Selected) -> TableSettings:
    return TableSettings(
        # lists, whose order moves the digest as it moves the table's rows and columns
        models=list(params.models),
        pretrained=[name for name, m in params.models.items() if m.pretraining or m.weights],
        published=[name for name, m in params.models.items() if m.weights],
        methods=[*params.probes, FINETUNE],
        tasks=list(params.labelled),
        metrics={name: [*task.metrics] for name, task in params.labelled.items()},
        folds={task: [fold.name for fold in params.folds(task)] for task in params.labelled},
        seeds={"probe": params.seeds.probe, FINETUNE: params.seeds.finetune},
        statistics=params.statistics,
    )


_SETTINGS: dict[str, Callable[[Params, Selected], Strict]] = {
    "download": _download,
    "inventory": _inventory,
    "acquire": _acquire,
    "account": _account,
    "resample": _resample,
    "prepare": _prepare,
    "frontend": _frontend,
    "weights": _weights,
    "convert": _convert,
    "pretrain": _pretrain,
    "embed": _embed,
    "probe": _probe,
    FINETUNE: _finetune,
    "baseline": _baseline,
    "figure": _figure,
    "audit": _audit,
    "table": _table,
}
STAGES = tuple(_SETTINGS)


def settings_for(params: Params, stage: str, selection: Selected) -> Any:
    """Return the settings of one job.

    Parameters
    ----------
    params
        The whole experiment.
    stage
        Name of a stage, one of ``STAGES``.
    selection
        What the job is about, for example ``{"model": "bat-mini", "group": "early"}``.

    Raises
    ------
    BatError
        Where the selection names something that the parameters do not define.
    """
    return _SETTINGS[stage](params, selection)


def recorded_settings(stage: str, content: Mapping[str, Any]) -> Any:
    """Return the settings of a job from what its recipe says of them.

    Raises
    ------
    BatError
        Where there is no such stage, or this code reads the content differently.
    """
    if stage not in _SETTINGS:
        raise BatError(f"unknown stage {stage!r}; known: {', '.join(STAGES)}")
    model: type[Strict] = get_type_hints(_SETTINGS[stage])["return"]
    try:
        settings = model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BatError(f"{stage}: settings of another version: {key}: {first['msg']}") from None
    if settings.model_dump(mode="json") != content:
        raise BatError(f"{stage}: settings of another version: this one fills in what they lack")
    return settings


def user_files(settings: Any) -> Iterator[Path]:
    """Yield the files and folders of the user that settings name, as plain values.

    No job made them: folders of recordings, archives, weights, comparison sets, encoders.
    """
    if isinstance(settings, list):
        for value in settings:
            yield from user_files(value)
    elif isinstance(settings, dict):
        for key, value in settings.items():
            if key in ("path", "folder") and isinstance(value, str):
                yield Path(value)
            elif key == "factory" and isinstance(value, str):
                yield Path(value.rpartition(":")[0])
            else:
                yield from user_files(value)


def _known(section: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in section:
        raise BatError(f"unknown {what} {name!r}; known: {', '.join(section)}")
    return section[name]
