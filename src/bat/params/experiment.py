"""The whole experiment: its sections, and that they fit together."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bat.errors import BatError
from bat.params.base import Name, Strict
from bat.params.data import ClipSet, Dataset, Fold, Group, LabelledTask, Task, TranscriptTask
from bat.params.explain import describe, explain
from bat.params.methods import Baseline, Compute, Finetuning, Grain, Probe, Seeds
from bat.params.models import Frontend, Model
from bat.params.results import Equivalence, Figures, Statistics

FINETUNE = "finetune"
# Model and method of the log-mel baseline, as the tables call them.
BASELINE = ("log-mel", "logistic-regression")
# Tasks with one answer per clip.
_PER_CLIP = ("multi-class", "multi-label")
# Names that the pipeline gives to files and rows of its own.
_EVERY_PROBE = "probes"  # changes that a task makes to every probe, not to one by its name
_TAKEN = {"tasks": ["ledger"], "models": [BASELINE[0]], "probes": [FINETUNE, _EVERY_PROBE]}


class Params(Strict):
    """The whole experiment."""

    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    tasks: dict[Name, Task]
    groups: Annotated[dict[Name, Group], Field(min_length=1)]
    pretraining_clips: Name
    frontends: dict[Name, Frontend]
    models: dict[Name, Model]
    probes: dict[Name, Probe]
    finetuning: Finetuning
    baseline: Baseline | None
    seeds: Seeds
    statistics: Statistics
    equivalence: Equivalence
    figures: Figures
    grain: Grain
    compute: Compute

    @property
    def labelled(self) -> dict[str, LabelledTask]:
        """The tasks that are measured, in order; the others serve pretraining."""
        return {name: task for name, task in self.tasks.items() if not isinstance(task, ClipSet)}

    def folds(self, task: str) -> list[Fold]:
        """Every split of a task, in order."""
        return self.labelled[task].folds.folds

    def group_of(self, task: str, fold: Fold) -> str:
        """Name of the pretraining group whose encoder may be tested on a fold.

        A fold of the data set that encoders hear belongs to the group that tests on its parts. On
        other data sets every group's encoder is as good; the first is used.

        Raises
        ------
        BatError
            If the fold is of the data set heard and no group tests on it.
        """
        if self.tasks[task].dataset != self.tasks[self.pretraining_clips].dataset:
            return next(iter(self.groups))
        for name, group in self.groups.items():
            if set(fold.test) <= set(group.test):
                return name
        tested = [part for group in self.groups.values() for part in group.test]
        raise BatError(f"{task}: no group tests on {', '.join(fold.test)}; they test on {tested}")

    def probe_of(self, task: str, method: str) -> Probe:
        """Return the settings of a probe, or of a variant of one, with what the task changes.

        Raises
        ------
        BatError
            Where the probe is not defined or a change does not fit it.
        """
        name, at, change = method.partition("@")
        if name not in self.probes:
            raise BatError(f"unknown method {method!r}; known: {', '.join(self.probes)}")
        recipes = getattr(self.tasks[task], "recipes", {})
        content = self.probes[name].model_dump()
        content |= recipes.get(_EVERY_PROBE, {}) | recipes.get(name, {})
        if at:
            key, _, value = change.partition("=")
            if not value.removeprefix("-").isdecimal():
                raise BatError(f"{method}: expected {name}@key=number")
            content[key] = int(value)
        probe: Probe = _validated(Probe, content, f"{method} on {task}")
        return probe

    def finetuning_of(self, task: str) -> Finetuning:
        """Return the settings of fine-tuning with what the task changes."""
        recipes = getattr(self.tasks[task], "recipes", {})
        content = self.finetuning.model_dump() | recipes.get(FINETUNE, {})
        tuned: Finetuning = _validated(Finetuning, content, f"{FINETUNE} on {task}")
        return tuned

    def frontend_of(self, name: str, task: str) -> Frontend:
        """Return the settings of a front end with what the task changes.

        Raises
        ------
        BatError
            Where there is no such front end or a change does not fit it.
        """
        if name not in self.frontends:
            raise BatError(f"unknown front end {name!r}; known: {', '.join(self.frontends)}")
        content = self.frontends[name].model_dump()
        content |= self.tasks[task].input.frontends.get(name, {})
        frontend: Frontend = _validated(Frontend, content, f"front end {name} on {task}")
        return frontend

    def _parts_of(self, clips: str) -> list[str]:
        """Return the parts that the clips of a task come from."""
        task = self.tasks[clips]
        if isinstance(task, ClipSet):
            return task.parts
        folds = self.folds(clips)
        return sorted({p for f in folds for p in (*f.train, *f.validation, *f.test)})

    def tasks_of(self, model: str) -> list[str]:
        """Return the tasks that a model is measured on, in order."""
        wanted = self.models[model].tasks
        return [name for name in self.labelled if wanted is None or name in wanted]

    def methods_of(self, model: str, task: str) -> list[str]:
        """Return the methods that measure a model on a task, in order; ``finetune`` may be one."""
        wanted = self.models[model].methods
        if task not in self.tasks_of(model):
            return []
        return [m for m in self.labelled[task].methods if wanted is None or m in wanted]

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for section, names in _TAKEN.items():
            for name in names:
                if name in getattr(self, section):
                    raise ValueError(f"{section}.{name}: the pipeline itself uses this name")
        for name, model in self.models.items():
            if model.weights is not None and model.weights.published in self.datasets:
                weights = model.weights.published
                raise ValueError(f"datasets.{weights}: the weights of models.{name} have this name")
        for task in self.labelled:
            if "all" in {fold.name for fold in self.folds(task)}:
                raise ValueError(f"tasks.{task}.folds: 'all' stands for all folds")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, model in self.models.items():
            _require(model.frontend, self.frontends, f"models.{name}.frontend")
            _require_all(model.tasks, self.labelled, f"models.{name}.tasks")
            _require_all(model.methods, [*self.probes, FINETUNE], f"models.{name}.methods")
        for name, task in self.tasks.items():
            _require(task.dataset, self.datasets, f"tasks.{name}.dataset")
            _require_all(task.input.frontends, self.frontends, f"tasks.{name}.input.frontends")
        for name, task in self.labelled.items():
            methods = [*self.probes, FINETUNE]
            _require_all(task.methods, methods, f"tasks.{name}.methods")
            _require_all(task.recipes, [*methods, _EVERY_PROBE], f"tasks.{name}.recipes")
        _require(self.pretraining_clips, self.tasks, "pretraining_clips")
        if self.baseline is not None:
            _require(self.baseline.frontend, self.frontends, "baseline.frontend")
            per_clip = {n: t for n, t in self.labelled.items() if t.kind in _PER_CLIP}
            _require_all(self.baseline.tasks, _cached(per_clip), "baseline.tasks")
        return self

    @model_validator(mode="after")
    def _figures_exist(self) -> Self:
        cgp = [name for name, probe in self.probes.items() if probe.kind == "cgp"]
        lp = [name for name, probe in self.probes.items() if probe.kind == "lp"]
        probed = [name for name, task in self.labelled.items() if task.kind != "transcript"]
        inside = [n for n, m in self.models.items() if m.encoder.kind == "audio-transformer"]
        if (sweep := self.figures.sweep) is not None:
            _require(sweep.model, self.models, "figures.sweep.model")
            _require_all(sweep.tasks, probed, "figures.sweep.tasks")
            _require(sweep.probe, cgp, "figures.sweep.probe")
        if (blocks := self.figures.blocks) is not None:
            _require_all(blocks.models, self.models, "figures.blocks.models")
            for name in blocks.models:
                if self.models[name].encoder.depth is None:
                    raise ValueError(f"figures.blocks: models.{name}.encoder.depth is missing")
            _require_all(blocks.tasks, probed, "figures.blocks.tasks")
            _require(blocks.linear_probe, lp, "figures.blocks.linear_probe")
            _require(blocks.gated_probe, cgp, "figures.blocks.gated_probe")
        if (frontends := self.figures.frontends) is not None:
            _require(frontends.task, _cached(self.tasks), "figures.frontends.task")
        if (attention := self.figures.attention) is not None:
            _require_all(attention.models, inside, "figures.attention.models")
            _require(attention.task, _cached(self.tasks), "figures.attention.task")
        return self

    @model_validator(mode="after")
    def _groups_are_cross_fitted(self) -> Self:
        tested = [part for group in self.groups.values() for part in group.test]
        if len(tested) != len(set(tested)):
            raise ValueError("groups: a part is tested on by more than one group")
        heard = self._parts_of(self.pretraining_clips)
        for name, group in self.groups.items():
            _require_all(group.pretrain, heard, f"groups.{name}.pretrain")
            both = sorted(set(group.pretrain) & set(group.test))
            if both:
                raise ValueError(f"groups.{name}: {both} would be both pretrained and tested on")
        return self

    @model_validator(mode="after")
    def _every_job_is_defined(self) -> Self:
        try:
            for name, task in self.tasks.items():
                for frontend in task.input.frontends:
                    self.frontend_of(frontend, name)
            for name, measured in self.labelled.items():
                for fold in self.folds(name):
                    self.group_of(name, fold)
                for method in measured.methods:
                    self._check_method(name, method)
                for probe in filter(self.probes.__contains__, measured.recipes):
                    self.probe_of(name, probe)
            for name, model in self.models.items():
                self._check_statistics(name, model)
                self._check_queries(name, model)
        except BatError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_method(self, task: str, method: str) -> None:
        settings = self.labelled[task]
        speech = isinstance(settings, TranscriptTask)
        if method == FINETUNE:
            tuned = self.finetuning_of(task)
            self._check_selection(task, method, tuned.steps)
            if speech:
                raise BatError(f"tasks.{task}.methods: {FINETUNE} does not recognise speech; asr")
            if tuned.colour_noise and settings.input.cached:
                raise BatError(f"{FINETUNE} on {task}: colour_noise needs input.cached false")
            if tuned.mixup and settings.loss == "cross_entropy":
                raise BatError(
                    f"{FINETUNE} on {task}: mixup makes soft labels, not for {settings.loss}"
                )
            return
        probe = self.probe_of(task, method)
        kind = probe.kind
        self._check_selection(task, method, probe.steps)
        if speech != (kind == "asr"):
            raise BatError(f"tasks.{task}.methods: {method} ({kind}) does not fit {settings.kind}")
        if kind == "vqt" and settings.kind == "frame-wise":
            raise BatError(f"tasks.{task}.methods: {method} gives one answer per clip")
        if speech and settings.input.cached:
            raise BatError(f"tasks.{task}.input.cached: clips of many lengths are not cached")

    def _check_selection(self, task: str, method: str, steps: int) -> None:
        selection = self.labelled[task].selection
        if selection.kind == "best-validation" and selection.every > steps:
            found = f"{selection.every}, but {method} trains {steps} steps"
            raise BatError(f"tasks.{task}.selection.every: {found}")

    def _check_queries(self, name: str, model: Model) -> None:
        """Make sure that queries are put into blocks that take them."""
        if model.encoder.kind == "audio-transformer":
            return
        for task in self.tasks_of(name):
            for method in self.methods_of(name, task):
                if method != FINETUNE and self.probe_of(task, method).kind == "vqt":
                    raise BatError(
                        f"models.{name}.methods: {method} (vqt) on {task} needs an audio "
                        f"transformer, this is {model.encoder.kind}; leave it out here"
                    )

    def _check_statistics(self, name: str, model: Model) -> None:
        """Make sure that an encoder is fed as it was trained, by whom its input is scaled."""
        heard = self.frontend_of(model.frontend, self.pretraining_clips).statistics
        if model.weights is not None and heard == "pretraining":
            raise BatError(
                f"models.{name}: published weights need a front end with given statistics or "
                f"none; {model.frontend} has those of pretraining"
            )
        for task in self.tasks_of(name):
            fed = self.frontend_of(model.frontend, task).statistics
            if (fed == "pretraining") != (heard == "pretraining"):
                raise BatError(
                    f"models.{name}: its front end {model.frontend} has statistics {heard!r} in "
                    f"pretraining and {fed!r} on {task}"
                )


def _cached(tasks: Mapping[str, Task]) -> list[str]:
    return [name for name, task in tasks.items() if task.input.cached]


def _require(name: str, known: Iterable[str], key: str) -> None:
    if name not in known:
        raise ValueError(f"{key}: {name!r} is not defined; allowed: {', '.join(known)}")


def _require_all(names: Iterable[str] | None, known: Iterable[str], key: str) -> None:
    for name in names or ():
        _require(name, known, key)


@cache  # made anew for each of thousands of jobs it takes seconds
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _validated(kind: Any, content: dict[str, Any], where: str) -> Any:
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        # unions put the kind before the key
        key = ".".join(str(part) for part in first["loc"] if part != content.get("kind"))
        allowed = sorted(content.keys() - {key})
        raise BatError(": ".join(filter(None, [where, key, describe(first, allowed)]))) from None


def load(path: Path) -> Params:
    """Read and validate a parameter file.

    Raises
    ------
    BatError
        Where the file is missing, is not YAML, or a key is unknown, missing or has a wrong value.
    """
    if not path.is_file():
        raise BatError(f"{path}: no such parameter file")
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        first = " ".join(str(error).split())
        raise BatError(f"{path}: not a valid YAML file: {first}") from None
    return parse(content, str(path))


def parse(content: object, origin: str) -> Params:
    """Validate parameters that were read from ``origin`` (used in messages only)."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise BatError(f"{origin}: {explain(error, Params)}") from None
