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
    table: pl.DataFrame, models: list[str], pretrained: list[str]
) -> list[Expectation]:
    """Compare CGP with the linear probes, and pretrained encoders with untrained ones.

    Parameters
    ----------
    table
        Long table: model, method, task, metric, mean.
    models, pretrained
        Names of all models, and of those that were pretrained.
    """
    means = {
        (model, method, task, metric): mean
        for model, method, task, metric, mean in table.select(
            "model", "method", "task", "metric", "mean"
        ).iter_rows()
    }
    # The first metric of a task is the one it is judged by.
    headline = dict(reversed(list(table.select("task", "metric").iter_rows())))
    pairs = list(_pairs(models, pretrained))
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
        if {(*larger, task, metric), (*smaller, task, metric)} <= means.keys()
    ]


Cell = tuple[str, str]


def _pairs(models: list[str], pretrained: list[str]) -> Iterator[tuple[Cell, Cell]]:
    """Yield the larger and the smaller cell, whether or not the table has them."""
    for model in pretrained:
        for linear in ("lcgp", "lp"):
            yield (model, "cgp"), (model, linear)
        for other in models:
            if other not in pretrained:
                for method in ("cgp", "finetune"):
                    yield (model, method), (other, method)
