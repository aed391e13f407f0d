"""What the workflow asks of the parameters: its jobs, what they read, and when they run again."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bat.errors import BatError
from bat.params import BASELINE, FINETUNE, Params, load
from bat.params.data import FileSource, FolderSource, PackageIndexSource, PublishedSource
from bat.provenance.fingerprint import code_of
from bat.provenance.hashing import digest
from bat.settings import part_names, settings_for
from bat.variants import block_methods, sweep_methods

# What a probe reads: cached tokens, or the live encoder on cached spectrograms or on waveforms.
Reading = Literal["tokens", "spectrograms", "waveforms"]


def code_of_job(stage: str, settings: Any) -> dict[str, str]:
    """Hash the modules that a job of some settings runs."""
    return code_of(code_roots(stage, settings))


def code_roots(stage: str, settings: Any) -> tuple[str, ...]:
    """Name the modules that a job of some settings loads; they import the others.

    Probes, what they read, and layouts of data sets are loaded by name, so that their modules
    are roots beside the stage's. The head that is fine-tuned with an encoder is a linear probe.
    """
    roots = [f"bat.stages.{stage}"]
    if stage in ("resample", "account"):
        roots.append(f"bat.data.layouts.{settings.layout.kind.replace('-', '_')}")
    if stage == "acquire" and settings.source.youtube is not None:
        roots.append("bat.acquisition.gaps")
    if stage == "probe":
        reading = reading_of(settings.probe.kind, cached=settings.hearing is None)
        roots.append(f"bat.probes.{settings.probe.kind}")
        roots.append(f"bat.stages.reading.{'cached' if reading == 'tokens' else 'live'}")
    if stage == FINETUNE:
        roots.append("bat.probes.lp")
    return tuple(roots)


def reading_of(probe: str, *, cached: bool) -> Reading:
    """Say what a kind of probe reads; queries inside the encoder need the live one."""
    if not cached:
        return "waveforms"
    return "spectrograms" if probe == "vqt" else "tokens"


class Plan:
    """The experiment as a set of jobs.

    Parameters
    ----------
    path
        Parameter file; read once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.params: Params = load(path)
        self._code: dict[tuple[str, ...], dict[str, str]] = {}

    # When a job runs again

    def wanted(self, stage: str, **selection: str) -> str:
        """Digest of the settings and the code of one job: if it changes, the job runs again."""
        settings = self.settings(stage, selection).model_dump(mode="json")
        return wanted_digest(stage, selection, settings, self.code(stage, selection))

    def settings(self, stage: str, selection: Mapping[str, str]) -> Any:
        """Return the settings model of one job."""
        return settings_for(self.params, stage, selection)

    def code(self, stage: str, selection: Mapping[str, str]) -> dict[str, str]:
        """Hash the modules that one job runs."""
        # Read once for thousands of jobs; who wants to know of changes makes a new plan.
        key = code_roots(stage, self.settings(stage, selection))
        if key not in self._code:
            self._code[key] = code_of(key)
        return self._code[key]

    # Data

    @cached_property
    def archives(self) -> list[str]:
        """Data sets that come as one file."""
        return self._datasets(PackageIndexSource, FileSource)

    @cached_property
    def folders(self) -> list[str]:
        """Data sets that lie in a folder."""
        return self._datasets(FolderSource)

    @cached_property
    def acquired(self) -> list[str]:
        """Data sets of the catalogue, fetched and decoded as a stream."""
        return self._datasets(PublishedSource)

    def _datasets(self, *kinds: type) -> list[str]:
        datasets = self.params.datasets.items()
        return [name for name, dataset in datasets if isinstance(dataset.source, kinds)]

    def pcm(self, task: str) -> list[str]:
        """Return the stored recordings of a task's data set, and their index."""
        dataset = self.dataset(task)
        maker = "source" if dataset in self.acquired else "pcm"
        return [f"data/{maker}/{dataset}/pcm.npy", f"data/pcm/{dataset}/index.parquet"]

    def glance(self, dataset: str) -> str | None:
        """Digest of what a user's own folder looks like: if it changes, stock is taken anew.

        The published data sets are too large for this at every start, and should not change.
        """
        settings = self.params.datasets[dataset]
        if settings.layout.kind != "csv" or not isinstance(settings.source, FolderSource):
            return None
        from bat.data.sources import glance  # brings polars

        return glance(Path(settings.source.path))

    def dataset(self, task: str) -> str:
        """Name of a task's data set."""
        return self.params.tasks[task].dataset

    def read_to_prepare(self, task: str) -> list[str]:
        """Return what a task's clips are made of: whole recordings need no samples."""
        samples, index = self.pcm(task)
        whole = self.params.tasks[task].clips.kind == "whole"
        return [index] if whole else [samples, index]

    def cached(self, task: str) -> bool:
        """Whether spectrograms and tokens of a task are computed once."""
        return self.params.tasks[task].input.cached

    @cached_property
    def spectrograms(self) -> list[tuple[str, str]]:
        """Return (front end, task) of every shard of spectrograms that something reads."""
        params, clips = self.params, self.params.pretraining_clips
        used = [(model.frontend, clips) for model in params.models.values()]
        for name, task, *_ in (*self.every_probe, *self.finetuned):
            used.append((params.models[name].frontend, task))
        if params.baseline is not None:
            used += [(params.baseline.frontend, task) for task in params.baseline.tasks]
        if params.figures.frontends is not None:
            used += [(frontend, params.figures.frontends.task) for frontend in params.frontends]
        if (attention := params.figures.attention) is not None:
            used += [(params.models[m].frontend, attention.task) for m in attention.models]
        return sorted({(frontend, task) for frontend, task in used if self.cached(task)})

    # Models

    @cached_property
    def published(self) -> list[str]:
        """Models whose encoders are converted from published weights."""
        return [name for name, model in self.params.models.items() if model.weights is not None]

    def weights(self, model: str) -> str | None:
        """Name in the catalogue of the weights that a model's encoder is converted from."""
        weights = self.params.models[model].weights
        return None if weights is None else weights.published

    @cached_property
    def fetched(self) -> list[str]:
        """Weights of the catalogue that some model's encoder is converted from."""
        names = {self.weights(model) for model, _ in self.encoders if model in self.published}
        return sorted(name for name in names if name is not None)

    @cached_property
    def trained(self) -> list[str]:
        """Models whose encoders are pretrained, or stay as initialised."""
        return [name for name in self.params.models if name not in self.published]

    @cached_property
    def encoders(self) -> list[tuple[str, str]]:
        """Return (model, group) of every encoder that something needs."""
        needed = {
            (model, group)
            for stage, cells in (("probe", self.every_probe), (FINETUNE, self.finetuned))
            for model, task, *_ in cells
            for part in self.parts(stage, task)
            for group in self.groups_of(task, part)
        }
        if (attention := self.params.figures.attention) is not None:
            needed |= {(model, self.first_group) for model in attention.models}
        return sorted(needed)

    @property
    def first_group(self) -> str:
        """Name of the first pretraining group."""
        return next(iter(self.params.groups))

    # Cells of the table

    def reading(self, task: str, method: str) -> Reading:
        """Say what a probe of a task reads."""
        kind = self.params.probe_of(task, method).kind
        return reading_of(kind, cached=self.cached(task))

    def parts(self, stage: str, task: str) -> list[str]:
        """Names of the parts that a cell's work is split into."""
        grain = getattr(self.params.grain, stage)
        seeds = getattr(self.params.seeds, stage)
        parts = [
            part
            for fold in self.params.folds(task)
            for seed in seeds
            for part, of in part_names(fold.name, seed).items()
            if of == grain
        ]
        return list(dict.fromkeys(parts))

    def groups_of(self, task: str, part: str) -> list[str]:
        """Pretraining groups whose encoders a part of a cell needs.

        Raises
        ------
        BatError
            If no fold belongs to the part.
        """
        name = part.partition(".seed-")[0]
        folds = [fold for fold in self.params.folds(task) if part == "all" or fold.name == name]
        if not folds:
            raise BatError(f"no fold of {task} belongs to part {part!r}")
        return list(dict.fromkeys(self.params.group_of(task, fold) for fold in folds))

    @cached_property
    def table_probes(self) -> list[tuple[str, str, str]]:
        """Return (model, task, method) of every probe cell of the main table."""
        return [
            (model, task, method)
            for model in self.params.models
            for task in self.params.tasks_of(model)
            for method in self.params.methods_of(model, task)
            if method != FINETUNE
        ]

    @cached_property
    def figure_probes(self) -> list[tuple[str, str, str]]:
        """Return (model, task, method) of every probe that the figures show."""
        sweep, blocks = self.params.figures.sweep, self.params.figures.blocks
        cells: list[tuple[str, str, str]] = []
        if sweep is not None:
            for task in sweep.tasks:
                of_count = sweep_methods(self.params, task)
                cells += [(sweep.model, task, method) for method in of_count]
        if blocks is not None:
            for task in blocks.tasks:
                for model in blocks.models:
                    methods = [blocks.gated_probe, *block_methods(self.params, task, model)]
                    cells += [(model, task, method) for method in methods]
        return list(dict.fromkeys(cells))

    @cached_property
    def every_probe(self) -> list[tuple[str, str, str]]:
        """Return (model, task, method) of every probe of table and figures."""
        return list(dict.fromkeys([*self.table_probes, *self.figure_probes]))

    @cached_property
    def finetuned(self) -> list[tuple[str, str]]:
        """Return (model, task) of every fine-tuned cell of the main table."""
        return [
            (model, task)
            for model in self.params.models
            for task in self.params.tasks_of(model)
            if FINETUNE in self.params.methods_of(model, task)
        ]

    @property
    def baselines(self) -> list[str]:
        """Tasks of the log-mel baseline."""
        return self.params.baseline.tasks if self.params.baseline is not None else []

    @cached_property
    def tokens(self) -> list[tuple[str, str, str]]:
        """Return (model, group, task) of every shard of tokens that a probe reads."""
        return sorted(
            {
                (model, group, task)
                for model, task, method in self.every_probe
                if self.reading(task, method) == "tokens"
                for part in self.parts("probe", task)
                for group in self.groups_of(task, part)
            }
        )

    # Files that gather many jobs: the rules wait for them, and the stages read them. A command
    # line could not hold the names of thousands.

    def cell_folders(self) -> dict[tuple[str, str, str], list[str]]:
        """Folders of the results of every (model, method, task) in the main table, in its order."""
        return {
            **{
                (model, method, task): self._probe_folders([(model, task, method)])
                for model, task, method in self.table_probes
            },
            **{
                (model, FINETUNE, task): [
                    f"results/finetune/{model}/{task}/{part}" for part in self.parts(FINETUNE, task)
                ]
                for model, task in self.finetuned
            },
            **{(*BASELINE, task): [f"results/baseline/{task}"] for task in self.baselines},
        }

    def table_folders(self) -> list[str]:
        """Folders of all results in the main table, in its order."""
        return [folder for folders in self.cell_folders().values() for folder in folders]

    def table_files(self) -> dict[str, list[str]]:
        """Files that the main table is made of, by role."""
        folders = self.table_folders()
        return {name: [f"{folder}/{file}" for folder in folders] for name, file in _RESULT.items()}

    def figure_files(self) -> dict[str, list[str]]:
        """Files that the figures are made of, by role."""
        attention = self.params.figures.attention
        curves = [
            f"results/pretrain/{model}/{group}"
            for model, group in self.encoders
            if self.params.models[model].pretraining is not None
        ]
        curves += [folder for folder in self.table_folders() if folder.startswith("results/fine")]
        drawn = {f.task for f in (self.params.figures.frontends, attention) if f is not None}
        return {
            "metrics": [f"{f}/metrics.json" for f in self._probe_folders(self.figure_probes)],
            "curves": [f"{folder}/curves.parquet" for folder in curves],
            "spectrograms": [
                f"data/spectrograms/{frontend}/{task}/spectrograms.safetensors"
                for frontend, task in self.spectrograms
                if task in drawn
            ],
            "encoder": [
                f"results/pretrain/{model}/{self.first_group}/encoder.safetensors"
                for model in (attention.models if attention is not None else [])
            ],
        }

    def figures(self) -> list[str]:
        """Files that the figures stage writes."""
        figures = self.params.figures
        names = ["training.png"]
        names += ["blocks.png", "blocks.csv"] if figures.blocks else []
        names += ["prototypes.png", "prototypes.csv"] if figures.sweep else []
        names += ["frontends.png"] if figures.frontends else []
        names += ["attention.png", "attention.csv"] if figures.attention else []
        return [f"results/figures/{name}" for name in names]

    def _probe_folders(self, cells: list[tuple[str, str, str]]) -> list[str]:
        return [
            f"results/probe/{model}/{task}/{method}/{part}"
            for model, task, method in cells
            for part in self.parts("probe", task)
        ]


def wanted_digest(
    stage: str, selection: Mapping[str, str], settings: dict[str, Any], code: dict[str, str]
) -> str:
    """Digest of all that the experiment decides of a job."""
    return digest({"stage": stage, "selection": selection, "settings": settings, "code": code})


_FOLDERS = {
    "download": "data/source/{dataset}",
    "inventory": "data/source/{dataset}",
    "acquire": "data/source/{dataset}",
    "weights": "data/source/{weights}",
    "account": "data/pcm/{dataset}",
    "resample": "data/pcm/{dataset}",
    "prepare": "data/manifest/{task}",
    "frontend": "data/spectrograms/{frontend}/{task}",
    "pretrain": "results/pretrain/{model}/{group}",
    "convert": "results/pretrain/{model}/{group}",
    "embed": "data/tokens/{model}/{group}/{task}",
    "probe": "results/probe/{model}/{task}/{method}/{part}",
    FINETUNE: "results/finetune/{model}/{task}/{part}",
    "baseline": "results/baseline/{task}",
    "figure": "results/figures",
    "audit": "results/audit",
    "table": "results/tables",
}


def folder_of(stage: str, selection: Mapping[str, str]) -> Path:
    """Return the folder that the rules have a job write to.

    Raises
    ------
    KeyError
        If there is no such stage, or the selection lacks what it needs.
    """
    return Path(_FOLDERS[stage].format_map(selection))


_RESULT = {"metrics": "metrics.json", "predictions": "predictions.parquet"}
