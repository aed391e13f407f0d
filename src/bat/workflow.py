"""What the workflow asks of the parameters: which jobs there are, and when one must run again."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bat.params import Params, load
from bat.provenance.fingerprint import code_of
from bat.provenance.hashing import digest
from bat.settings import Run, part_names, settings_for
from bat.variants import block_methods, resolve, sweep_methods


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

    def wanted(self, stage: str, **selection: str) -> str:
        """Digest of the settings and the code of one job: if it changes, the job runs again."""
        return digest(
            {
                "stage": stage,
                "selection": selection,
                "settings": self.settings(stage, selection).model_dump(mode="json"),
                "code": self.code(stage, selection),
            }
        )

    def settings(self, stage: str, selection: Mapping[str, str]) -> Any:
        """Return the settings model of one job."""
        return settings_for(self.params, stage, selection)

    def code(self, stage: str, selection: Mapping[str, str]) -> dict[str, str]:
        """Hash the modules that one job runs.

        Probes are loaded by name, so that a probe's own module is a root beside the stage's.
        The head that is fine-tuned with an encoder is a linear probe.
        """
        roots = [f"bat.stages.{stage}"]
        if stage == "probe":
            roots.append(f"bat.probes.{resolve(self.params, selection['method']).kind}")
        if stage == "finetune":
            roots.append("bat.probes.lp")
        return code_of(roots)

    @cached_property
    def frontends(self) -> list[str]:
        """Front ends that a model, the baseline or a figure needs."""
        used = {model.frontend for model in self.params.models.values()}
        return sorted(used | {self.params.baseline.frontend})

    def parts(self, stage: str) -> list[str]:
        """Names of the parts that a cell's work is split into."""
        grain = getattr(self.params.grain, stage)
        seeds = getattr(self.params.seeds, stage)
        parts = [
            part
            for fold in self.params.folds
            for seed in seeds
            for part, of in part_names(Run(fold=fold, group="", seed=seed)).items()
            if of == grain
        ]
        return list(dict.fromkeys(parts))

    def groups_of(self, part: str) -> list[str]:
        """Pretraining groups whose encoders a part of a cell needs."""
        folds = self.params.folds if part == "all" else [part.partition(".seed-")[0]]
        return list(dict.fromkeys(self.params.group_of(fold) for fold in folds))

    def table_probes(self) -> list[tuple[str, str, str]]:
        """Return (model, task, method) of every probe cell of the main table."""
        return [
            (model, task, method)
            for model in self.params.models
            for task in self.params.tasks
            for method in self.params.probes
        ]

    def figure_probes(self) -> list[tuple[str, str, str]]:
        """Return (model, task, method) of every probe that the figures show."""
        sweep, blocks = self.params.figures.sweep, self.params.figures.blocks
        cells = [(sweep.model, sweep.task, method) for method in sweep_methods(self.params)]
        for model in self.params.models:
            cells += [
                (model, blocks.task, method)
                for method in [blocks.gated_probe, *block_methods(self.params, model)]
            ]
        return list(dict.fromkeys(cells))
