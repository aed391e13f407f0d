"""What statements of the paper are about: differences between runs of one experiment.

A difference is taken within each fold and seed, so that what its sides share cancels.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bat.paper.statements import (
    MethodStatement,
    ModelStatement,
    PairStatement,
    PeakStatement,
    PrototypeStatement,
    Statement,
)

RunKey = tuple[str, int]  # fold and seed
CellKey = tuple[str, str, str]  # model, method, task
Values = Mapping[RunKey, float]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was run, of the experiment at hand.

    Attributes
    ----------
    values
        Result of every fold and seed in per cent, by model, method and task; the task's headline
        metric.
    gates
        Weight of every block by fold and seed, by model and task, of the gated probe.
    clip_deviations
        Standard deviation over draws of the clips, in points, of cells of the table.
    models
        Settings of every model as plain values.
    pretrained
        Models that heard anything.
    blocks
        Linear probes of every block, first block first, by model and task.
    sweep
        Methods by number of prototypes, by model and task.
    scale
        How large a model and a task are, in words.
    lower_is_better
        Tasks whose headline metric is an error rate.
    """

    values: Mapping[CellKey, Values]
    gates: Mapping[tuple[str, str], Mapping[RunKey, Sequence[float]]] = field(default_factory=dict)
    clip_deviations: Mapping[CellKey, float] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretrained: Collection[str] = ()
    blocks: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    sweep: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    scale: Callable[[str, str], str] = lambda model, task: f"{model}, {task}"
    lower_is_better: Collection[str] = ()

    def result(self, key: CellKey) -> Values:
        """Results of a cell, the higher the better; empty where it was not run."""
        sign = -1.0 if key[2] in self.lower_is_better else 1.0
        return {run: sign * value for run, value in self.values.get(key, {}).items()}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A weighted sum of values that should be above zero."""

    what: str
    model: str
    task: str
    terms: list[tuple[float, Values]]
    clip_deviation: float | None  # None: not known

    def of(self, fold: str, seed: int) -> float:
        """Return the sum in one fold and seed."""
        return sum(weight * values[fold, seed] for weight, values in self.terms)


def contrasts(statement: Statement, evidence: Evidence) -> Iterator[Contrast]:
    """Yield what a statement is about, as far as it was run."""
    if isinstance(statement, MethodStatement):
        yield from _of_methods(statement, evidence)
    elif isinstance(statement, PrototypeStatement):
        yield from _of_prototypes(statement, evidence)
    elif isinstance(statement, ModelStatement):
        yield from _of_models(statement, evidence)
    else:
        yield from _of_peaks(statement, evidence)


def _difference(better: CellKey, worse: CellKey, evidence: Evidence, what: str) -> Contrast:
    deviations = [evidence.clip_deviations.get(key) for key in (better, worse)]
    # All cells of a task are measured on the same clips, which moves both alike: their deviations
    # in quadrature are at least that of the difference.
    joined = None if None in deviations else math.hypot(*(d for d in deviations if d is not None))
    return Contrast(
        what=what,
        model=better[0],
        task=better[2],
        terms=[(1.0, evidence.result(better)), (-1.0, evidence.result(worse))],
        clip_deviation=joined,
    )


def _of_methods(statement: MethodStatement, evidence: Evidence) -> Iterator[Contrast]:
    for model, method, task in evidence.values:
        if method != statement.better or model not in evidence.pretrained:
            continue
        for other in statement.than:
            worse = (model, other, task)
            if worse in evidence.values:
                what = f"{model}, {task}: {method} - {other}"
                yield _difference((model, method, task), worse, evidence, what)


def _of_models(statement: ModelStatement, evidence: Evidence) -> Iterator[Contrast]:
    for better, worse in _pairs(statement, evidence.models):
        for model, method, task in evidence.values:
            other = (worse, method, task)
            if model == better and other in evidence.values:
                what = f"{task}, {method}: {better} - {worse}"
                yield _difference((better, method, task), other, evidence, what)


def _of_peaks(statement: PeakStatement, evidence: Evidence) -> Iterator[Contrast]:
    for better, worse in _pairs(statement, evidence.models):
        tasks = [task for model, task in evidence.blocks if model == better]
        for task in tasks:
            if (worse, task) not in evidence.blocks:
                continue
            pairs = {"linear probe": _linear_peaks, "gate": _gate_peaks}
            for name, peaks in pairs.items():
                terms = [
                    (1.0, peaks(better, task, evidence)),
                    (-1.0, peaks(worse, task, evidence)),
                ]
                yield Contrast(
                    what=f"{task}, peak block of the {name}: {better} - {worse}",
                    model=better,
                    task=task,
                    terms=terms,
                    clip_deviation=None,
                )


def _linear_peaks(model: str, task: str, evidence: Evidence) -> Values:
    """Block of the best linear probe, from 1, of every fold and seed."""
    results = [evidence.result((model, method, task)) for method in evidence.blocks[model, task]]
    runs = set.intersection(*(set(result) for result in results))
    return {run: 1.0 + int(np.argmax([result[run] for result in results])) for run in runs}


def _gate_peaks(model: str, task: str, evidence: Evidence) -> Values:
    """Block of the largest gate weight, from 1, of every fold and seed."""
    gates = evidence.gates.get((model, task), {})
    return {run: 1.0 + int(np.argmax(weights)) for run, weights in gates.items()}


def _of_prototypes(statement: PrototypeStatement, evidence: Evidence) -> Iterator[Contrast]:
    for (model, task), methods in evidence.sweep.items():
        ordered = sorted(methods.items(), key=lambda item: item[1])
        counts = [count for _, count in ordered]
        results = [evidence.result((model, method, task)) for method, _ in ordered]
        if statement.contrast == "gain" and len(counts) > 1:
            weights = [-1.0, *[0.0] * (len(counts) - 2), 1.0]
            what = f"{model}, {task}: {counts[-1]:,} - {counts[0]:,} prototypes"
        elif statement.contrast == "diminishing" and len(counts) > 2:
            first, last = (math.log2(b / a) for a, b in (counts[:2], counts[-2:]))
            weights = [0.0] * len(counts)
            for place, weight in ((1, 1 / first), (0, -1 / first), (-1, -1 / last), (-2, 1 / last)):
                weights[place] += weight
            steps = f"{counts[0]:,} to {counts[1]:,} - {counts[-2]:,} to {counts[-1]:,}"
            what = f"{model}, {task}: gain per doubling, {steps}"
        else:
            continue
        terms = list(zip(weights, results, strict=True))
        yield Contrast(what=what, model=model, task=task, terms=terms, clip_deviation=None)


def _pairs(
    statement: PairStatement, models: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield two models that differ in the statement's parameter alone."""
    flat = {name: _flat(settings) for name, settings in models.items()}
    section = statement.parameter.removesuffix(".kind")

    def rest(settings: dict[str, Any]) -> dict[str, Any]:
        # what is measured of a model is not what it is; settings of a kind belong to it
        ignored = ("tasks", "methods", section)
        return {k: v for k, v in settings.items() if not _inside(k, ignored)}

    for better, a in flat.items():
        for worse, b in flat.items():
            values = (a.get(statement.parameter), b.get(statement.parameter))
            fixed = all(a.get(key) == value for key, value in statement.fixed.items())
            if values == (statement.better, statement.worse) and fixed and rest(a) == rest(b):
                yield better, worse


def _inside(key: str, sections: Sequence[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return plain settings by keys with dots."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
