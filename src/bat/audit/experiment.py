"""What is verified: the results that the parameters ask for, and the records behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bat.evaluation.cells import CELLS
from bat.provenance.recipe import Recipe
from bat.workflow import Plan, folder_of

TABLES, AUDIT, FIGURES = Path("results/tables"), Path("results/audit"), Path("results/figures")
METRICS, PREDICTIONS = "metrics.json", "predictions.parquet"
TABLE_FILES = (CELLS, "main_long.csv", "main.csv", "main.md")
# They read every result only to list it.
GATHERERS = (TABLES, AUDIT)
# No job of the tables reads them, but people and the check for leaks do, to judge what they belong
# to: the heads that made the predictions, what an encoder heard, and where recordings came from.
COMPANIONS = {
    "heads.safetensors": PREDICTIONS,
    "clips.json": "encoder.safetensors",
    "files.json": "pcm.npy",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """All runs of one model, method and task.

    Attributes
    ----------
    folders
        Of the jobs that made them.
    metrics
        Those that the table shows; none for a row that only figures show.
    """

    model: str
    method: str
    task: str
    folders: list[Path]
    metrics: list[str]

    def cell(self, metric: str) -> str:
        """Name of a cell of the table."""
        return ",".join([self.model, self.method, self.task, metric])


def rows_of(plan: Plan) -> list[Row]:
    """Return what the main table must hold, in its order, and then what only figures show."""
    metrics = {name: [*task.metrics] for name, task in plan.params.labelled.items()}
    in_table = plan.cell_folders()
    in_figures = {
        (model, method, task): [
            f"results/probe/{model}/{task}/{method}/{part}" for part in plan.parts("probe", task)
        ]
        for model, task, method in plan.figure_probes
    }
    return [
        Row(
            model=key[0],
            method=key[1],
            task=key[2],
            folders=[*map(Path, folders)],
            metrics=metrics[key[2]] if key in in_table else [],
        )
        for key, folders in (in_table | in_figures).items()
    ]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The results that the parameters ask for, and the records that were found.

    Attributes
    ----------
    rows
        Of the table and of the figures.
    recipes
        By folder.
    changed
        Files that are not what their recipes say, or are not there.
    jobs
        Number of threads to work with.
    """

    plan: Plan
    rows: list[Row]
    recipes: Mapping[Path, Recipe]
    changed: frozenset[Path] = field(default_factory=frozenset)
    jobs: int = 1

    def intact(self, path: Path) -> bool:
        """Tell whether a file is what its recipe says; what is in any other is no evidence."""
        recipe = self.recipes.get(path.parent)
        return (
            recipe is not None and recipe.output(path.name) is not None and path not in self.changed
        )

    def in_place(self, folder: Path) -> bool:
        """Tell whether the record in a folder is of the job that the rules have write there."""
        recipe = self.recipes.get(folder)
        try:
            return recipe is not None and folder_of(recipe.stage, recipe.selection) == folder
        except KeyError:  # no stage or no selection of this project
            return False

    @cached_property
    def cells(self) -> dict[str, list[Path]]:
        """Folders behind each cell of the main table, by its name."""
        return {row.cell(metric): row.folders for row in self.rows for metric in row.metrics}
