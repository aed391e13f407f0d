"""What each stage sees of the parameters, and nothing more.

A stage is handed one of these models. Its content goes into the recipe and decides whether a job
must run again; a parameter that is not in a stage's settings cannot move its result.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bat.errors import BatError
from bat.params import (
    Baseline,
    Compute,
    Data,
    Encoder,
    Figures,
    Finetuning,
    Frontend,
    Group,
    Mixing,
    Params,
    Pretraining,
    Probe,
    Source,
    Statistics,
    Strict,
    Task,
)
from bat.variants import block_methods, resolve, sweep_methods


class DownloadSettings(Strict):
    """The archive to fetch."""

    source: Source


class PrepareSettings(Strict):
    """Which files of the archive are recordings, and how they become the clips of each task."""

    inner: str | None
    inner_sha256: str | None
    data: Data
    tasks: dict[str, Mixing | None]
    folds: list[str]


class ResampleSettings(Strict):
    """Where the recordings lie and the rate to bring them to."""

    inner: str | None
    rate_hz: int


class FrontendSettings(Strict):
    """From PCM to cached spectrograms of one task."""

    rate_hz: int
    frontend: Frontend


class PretrainSettings(Strict):
    """One encoder of one pretraining group; without ``pretraining`` it stays as initialised."""

    encoder: Encoder
    standardise: bool
    deviations: float
    pretraining: Pretraining | None
    group: Group
    seed: int
    compute: Compute


class EmbedSettings(Strict):
    """From spectrograms to tokens."""

    compute: Compute


class Run(Strict):
    """One training: a test fold, the group whose encoder may be used, and a seed."""

    fold: str
    group: str
    seed: int


class ProbeSettings(Strict):
    """A probe on one task, for every run of one job."""

    task: Task
    probe: Probe
    runs: list[Run]
    compute: Compute


class FinetuneSettings(Strict):
    """Fine-tuning on one task, for every run of one job."""

    task: Task
    finetuning: Finetuning
    runs: list[Run]
    compute: Compute


class BaselineSettings(Strict):
    """Logistic regression on log-mel statistics."""

    task: Task
    baseline: Baseline
    folds: list[str]


class FigureSettings(Strict):
    """Which runs go into which figure: methods by prototypes, and by model and block."""

    figures: Figures
    sweep: dict[str, int]
    blocks: dict[str, list[str]]


class AuditSettings(Strict):
    """What must hold of every record before a table is made."""

    groups: dict[str, Group]


class TableSettings(Strict):
    """Rows, columns and statistics of the main table."""

    models: dict[str, bool]
    methods: list[str]
    tasks: dict[str, Task]
    folds: list[str]
    seeds: dict[str, list[int]]
    statistics: Statistics


Selection = Mapping[str, str]


def _runs(params: Params, stage: str, part: str) -> list[Run]:
    seeds = params.seeds.probe if stage == "probe" else params.seeds.finetune
    runs = [
        Run(fold=fold, group=params.group_of(fold), seed=seed)
        for fold in params.folds
        for seed in seeds
    ]
    chosen = [run for run in runs if part in part_names(run)]
    if not chosen:
        raise BatError(f"{stage}: no fold or seed belongs to part {part!r}")
    return chosen


def part_names(run: Run) -> dict[str, str]:
    """Names of the parts that a run belongs to, with the grain that each stands for."""
    return {"all": "cell", run.fold: "fold", f"{run.fold}.seed-{run.seed}": "run"}


def _download(params: Params, _: Selection) -> DownloadSettings:
    return DownloadSettings(source=params.source)


def _prepare(params: Params, _: Selection) -> PrepareSettings:
    return PrepareSettings(
        inner=params.source.inner,
        inner_sha256=params.source.inner_sha256,
        data=params.data,
        tasks={name: getattr(task, "mixing", None) for name, task in params.tasks.items()},
        folds=params.folds,
    )


def _resample(params: Params, _: Selection) -> ResampleSettings:
    return ResampleSettings(inner=params.source.inner, rate_hz=params.data.rate_hz)


def _frontend(params: Params, selection: Selection) -> FrontendSettings:
    return FrontendSettings(
        rate_hz=params.data.rate_hz,
        frontend=_known(params.frontends, selection["frontend"], "front end"),
    )


def _pretrain(params: Params, selection: Selection) -> PretrainSettings:
    model = _known(params.models, selection["model"], "model")
    frontend = params.frontends[model.frontend]
    return PretrainSettings(
        encoder=model.encoder,
        standardise=frontend.standardise,
        # the legacy front ends divide by two deviations (Audio-MAE and its successors)
        deviations=2.0 if frontend.kind == "legacy" else 1.0,
        pretraining=model.pretraining,
        group=_known(params.groups, selection["group"], "group"),
        seed=params.seeds.pretrain,
        compute=params.compute,
    )


def _embed(params: Params, _: Selection) -> EmbedSettings:
    return EmbedSettings(compute=params.compute)


def _probe(params: Params, selection: Selection) -> ProbeSettings:
    return ProbeSettings(
        task=_known(params.tasks, selection["task"], "task"),
        probe=resolve(params, selection["method"]),
        runs=_runs(params, "probe", selection["part"]),
        compute=params.compute,
    )


def _finetune(params: Params, selection: Selection) -> FinetuneSettings:
    return FinetuneSettings(
        task=_known(params.tasks, selection["task"], "task"),
        finetuning=params.finetuning,
        runs=_runs(params, "finetune", selection["part"]),
        compute=params.compute,
    )


def _baseline(params: Params, selection: Selection) -> BaselineSettings:
    return BaselineSettings(
        task=_known(params.tasks, selection["task"], "task"),
        baseline=params.baseline,
        folds=params.folds,
    )


def _figure(params: Params, _: Selection) -> FigureSettings:
    return FigureSettings(
        figures=params.figures,
        sweep=sweep_methods(params),
        blocks={model: block_methods(params, model) for model in params.models},
    )


def _audit(params: Params, _: Selection) -> AuditSettings:
    return AuditSettings(groups=params.groups)


def _table(params: Params, _: Selection) -> TableSettings:
    return TableSettings(
        models={name: model.pretraining is not None for name, model in params.models.items()},
        methods=list(params.probes),
        tasks=params.tasks,
        folds=params.folds,
        seeds={"probe": params.seeds.probe, "finetune": params.seeds.finetune},
        statistics=params.statistics,
    )


_SETTINGS: dict[str, Callable[[Params, Selection], Strict]] = {
    "download": _download,
    "prepare": _prepare,
    "resample": _resample,
    "frontend": _frontend,
    "pretrain": _pretrain,
    "embed": _embed,
    "probe": _probe,
    "finetune": _finetune,
    "baseline": _baseline,
    "figure": _figure,
    "audit": _audit,
    "table": _table,
}
STAGES = tuple(_SETTINGS)


def settings_for(params: Params, stage: str, selection: Selection) -> Any:
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


def _known(section: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in section:
        raise BatError(f"unknown {what} {name!r}; known: {', '.join(section)}")
    return section[name]
