"""What the paper lets one expect of the table, checked and said, whether it holds or not."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One inequality between two cells of a table."""

    task: str
    metric: str
    larger: str
    smaller: str
    larger_mean: float
    smaller_mean: float

    @property
    def holds(self) -> bool:
        """Whether the mean over folds and seeds shows it."""
        return self.larger_mean > self.smaller_mean


def check_expectations(
    table: pl.DataFrame, models: dict[str, bool], methods: list[str]
) -> list[Expectation]:
    """Compare CGP with the linear probes, and pretrained encoders with untrained ones.

    Parameters
    ----------
    table
        Long table: model, method, task, metric, mean.
    models
        Names of the models, and whether each was pretrained.
    methods
        Names of the probes.
    """
    means = {
        (model, method, task, metric): mean
        for model, method, task, metric, mean in table.select(
            "model", "method", "task", "metric", "mean"
        ).iter_rows()
    }
    # The first metric of a task is the one it is judged by.
    headline = dict(reversed(list(table.select("task", "metric").iter_rows())))
    pairs = list(_pairs(models, methods))
    return [
        Expectation(
            task=task,
            metric=metric,
            larger=", ".join(larger),
            smaller=", ".join(smaller),
            larger_mean=means[(*larger, task, metric)],
            smaller_mean=means[(*smaller, task, metric)],
        )
        for task, metric in reversed(headline.items())
        for larger, smaller in pairs
    ]


Cell = tuple[str, str]


def _pairs(models: dict[str, bool], methods: list[str]) -> Iterator[tuple[Cell, Cell]]:
    pretrained = [model for model, trained in models.items() if trained]
    untrained = [model for model, trained in models.items() if not trained]
    for model in pretrained:
        for linear in ("lcgp", "lp"):
            if {"cgp", linear} <= set(methods):
                yield (model, "cgp"), (model, linear)
        for other in untrained:
            for method in ("cgp", "finetune"):
                if method == "finetune" or method in methods:
                    yield (model, method), (other, method)
