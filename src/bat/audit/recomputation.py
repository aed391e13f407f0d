"""Computes the numbers anew from the predictions: metrics and cells must say the same."""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bat.audit.experiment import METRICS, PREDICTIONS, TABLES, Experiment, Row
from bat.data.clips import Clips, read_clips
from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell
from bat.evaluation.metrics import evaluate
from bat.evaluation.predictions import Predictions
from bat.evaluation.runs import read_predictions
from bat.evaluation.statistics import Summary, summarise
from bat.progress import track
from bat.provenance.graph import Problem

# Another processor may round the last bits of a sum differently.
_RELATIVE = 1e-9
# A printed number is rounded to two decimals of a percentage.
_ROUNDING = 0.005 + 1e-7


def check_results(experiment: Experiment, cells: dict[str, Cell]) -> Iterator[Problem]:
    """Compute every metric of every run anew, and every cell with its spread.

    Parameters
    ----------
    cells
        What the table says, by name; a cell that is not there is not checked.
    """
    clips = _Manifests(experiment)
    with ThreadPoolExecutor(experiment.jobs) as pool:

        def checked(row: Row) -> list[Problem]:
            try:
                return list(_check_row(row, experiment, cells, clips))
            except BatError as error:
                spoils = tuple(row.folders)
                return [Problem(kind="metrics", path=spoils[0], message=str(error), spoils=spoils)]

        for problems in track(
            pool.map(checked, experiment.rows), "recomputing", total=len(experiment.rows)
        ):
            yield from problems


class _Manifests:
    """Clips of tasks, each read once."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._read: dict[str, Clips] = {}

    def of(self, folder: Path) -> Clips | None:
        """Return the clips of the task of a result; None where its manifest is not intact."""
        inputs = self._experiment.recipes[folder].inputs
        path = next((known.path for known in inputs if known.role == "manifest"), None)
        if path is None or not self._experiment.intact(Path(path)):
            return None
        if path not in self._read:
            self._read[path] = read_clips(Path(path))
        return self._read[path]


def _check_row(
    row: Row, experiment: Experiment, cells: dict[str, Cell], clips: _Manifests
) -> Iterator[Problem]:
    """Check the results of one row of the table, as far as its files are what they were."""
    paths = [folder / PREDICTIONS for folder in row.folders]
    if not all(experiment.intact(path) and experiment.in_place(path.parent) for path in paths):
        return
    runs: list[Predictions] = []
    for path in paths:
        found = read_predictions(path)
        yield from _check_runs(path, found, experiment)
        yield from _check_clips(path, found, experiment, clips.of(path.parent))
        yield from _check_metrics(path.with_name(METRICS), found, experiment)
        runs += found
    statistics = experiment.plan.params.statistics
    for metric in row.metrics:
        name = row.cell(metric)
        if name not in cells:
            continue
        try:
            summary = summarise(
                runs,
                metric,
                resamples=statistics.bootstrap_resamples,
                confidence=statistics.confidence,
                seed=statistics.seed,
            )
        except (BatError, ValueError, IndexError) as error:  # no runs, or of different sizes
            wrong = [f"cannot be computed: {error}"]
        else:
            wrong = list(_wrong_in(cells[name], runs, summary))
        if wrong:
            path = TABLES / CELLS
            message = f"{path}: {name}: {'; '.join(wrong)}"
            yield Problem(kind="cell", path=path, message=message, results=(name,))


def _check_runs(path: Path, found: list[Predictions], experiment: Experiment) -> Iterator[Problem]:
    """Check that there are the folds and seeds that the parameters ask for, in both files."""
    wanted = [(one.fold, one.seed) for one in _settings(path, experiment).runs]
    yield from _compare_runs(path, [(run.fold, run.seed) for run in found], wanted)
    metrics = path.with_name(METRICS)
    if experiment.intact(metrics):
        told = [(one["fold"], one["seed"]) for one in _runs_in(metrics)]
        yield from _compare_runs(metrics, told, wanted)


def _compare_runs(
    path: Path, found: list[tuple[str, int]], wanted: list[tuple[str, int]]
) -> Iterator[Problem]:
    if found == wanted:
        return
    lacking = [run for run in wanted if run not in found]
    surplus = [run for run in found if run not in wanted]
    lists = [("lacks", lacking), ("has beside them", surplus)]
    told = [
        f"{what} fold {runs[0][0]}, seed {runs[0][1]}"
        + (f" and {len(runs) - 1} more" if runs[1:] else "")
        for what, runs in lists
        if runs
    ]
    yield Problem(
        kind="runs",
        path=path,
        message=f"{path}: expected {len(wanted)} runs (folds x seeds), found {len(found)}: "
        + ("; ".join(told) or "one stands there twice, or in another place"),
        spoils=(path,),
    )


def _check_clips(
    path: Path, found: list[Predictions], experiment: Experiment, clips: Clips | None
) -> Iterator[Problem]:
    """Check that every run was tested on all test clips of its fold, with their own labels."""
    if clips is None:
        return
    settings = _settings(path, experiment)
    parts = {one.fold: one.test for one in settings.runs}
    ids = clips.manifest["clip_id"]
    labelled = settings.goal.kind in ("multi-class", "multi-label")
    for run in found:
        places = clips.of(parts.get(run.fold, []))
        where = f"{path}: fold {run.fold}, seed {run.seed}"
        if run.clips != ids[places.tolist()].to_list():
            message = f"{where}: expected the {len(places)} test clips of the manifest, found "
            message += f"{len(run.clips)}" + (" others" if len(run.clips) == len(places) else "")
        elif labelled and not np.array_equal(run.present, clips.present[places]):
            message = f"{where}: its labels are not those of the manifest"
        else:
            continue
        yield Problem(kind="runs", path=path, message=message, spoils=(path,))


def _check_metrics(
    path: Path, found: list[Predictions], experiment: Experiment
) -> Iterator[Problem]:
    """Check that a job's metrics are those of its predictions."""
    if not experiment.intact(path):
        return
    settings = _settings(path, experiment)
    runs = {(run.fold, run.seed): run for run in found}
    for told in _runs_in(path):
        run = runs.get((told["fold"], told["seed"]))
        if run is None:
            continue
        where = f"{path}: fold {run.fold}, seed {run.seed}"
        for metric in settings.goal.metrics:
            computed, value = evaluate(metric, run), told["metrics"].get(metric)
            if value is None or not _same(computed, value):
                yield Problem(
                    kind="metrics",
                    path=path,
                    message=f"{where}: {metric} {value}, but its predictions give {computed}",
                    spoils=(path,),
                )


def _settings(path: Path, experiment: Experiment) -> Any:
    """Return the settings that the parameters have for the job that wrote a file."""
    recipe = experiment.recipes[path.parent]
    return experiment.plan.settings(recipe.stage, recipe.selection)


def _runs_in(path: Path) -> list[dict[str, Any]]:
    """Return what a job told of its runs, each with fold, seed and metrics."""
    try:
        runs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return [{key: run[key] for key in ("fold", "seed", "metrics")} for run in runs]
    except (ValueError, TypeError, KeyError) as error:
        raise BatError(f"{path}: not the metrics of runs: {error!r}") from None


def _wrong_in(cell: Cell, runs: list[Predictions], summary: Summary) -> Iterator[str]:
    """Say what in a cell is not what the predictions give."""
    told = [(run.fold, run.seed) for run in cell.runs]
    if told != [(run.fold, run.seed) for run in runs]:
        yield f"lists {len(told)} runs, the predictions have {len(runs)}"
    elif not all(map(_same, summary.values, (run.value for run in cell.runs))):
        yield "values of runs are not those that the predictions give"
    compared: list[tuple[str, Any, Any, Callable[[Any, Any], bool]]] = [
        ("value", cell.value, summary.mean, _same),
        ("clip_deviation", cell.clip_deviation, summary.clip_deviation, _same),
        ("mean", cell.mean, summary.mean, _rounded),
        ("std", cell.std, summary.std, _rounded),
        ("low", cell.low, summary.low, _rounded),
        ("high", cell.high, summary.high, _rounded),
        ("n_clips", cell.n_clips, summary.clips, int.__eq__),
        ("n_folds", cell.n_folds, summary.folds, int.__eq__),
        ("n_seeds", cell.n_seeds, summary.seeds, int.__eq__),
    ]
    for name, found, computed, same in compared:
        if not same(found, computed):
            yield f"{name} {found}, but the predictions give {computed}"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_RELATIVE)


def _rounded(percent: float, share: float) -> bool:
    return abs(percent - 100 * share) <= _ROUNDING
