"""Cells of the main table, as later stages and people's tools read them."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bat.errors import BatError

CELLS = "cells.json"


class RunValue(BaseModel):
    """What one training gave: the metric of one fold and seed, as a share."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    fold: str
    seed: int
    value: float


class Cell(BaseModel):
    """One number of the main table, with what its spread is made of.

    Attributes
    ----------
    value, clip_deviation
        Mean over folds and seeds, and its standard deviation over bootstrap draws of the test
        clips, as shares, not rounded.
    mean, std, low, high
        As printed: percent, two decimals; std over folds and seeds, interval over clips.
    record
        First 16 digits of the id of the cell's record.
    folders
        Where the results that it is made of lie.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    method: str
    task: str
    metric: str
    value: float
    runs: list[RunValue]
    clip_deviation: float
    mean: float
    std: float
    low: float
    high: float
    n_clips: int
    n_folds: int
    n_seeds: int
    comparison_set: str | None
    record: str
    folders: list[str]

    @property
    def name(self) -> str:
        """How people call the cell: ``model,method,task,metric``."""
        return ",".join([self.model, self.method, self.task, self.metric])

    @property
    def text(self) -> str:
        """The cell in one line."""
        of_set = f" of {self.comparison_set}" if self.comparison_set else ""
        return (
            f"{self.mean} % (std {self.std}, interval {self.low} to {self.high}, "
            f"{self.n_clips} clips{of_set}, {self.n_folds} folds, {self.n_seeds} seeds)"
        )


_CELLS = TypeAdapter(list[Cell])


def read_cells(path: Path) -> list[Cell]:
    """Read what the table stage wrote.

    Raises
    ------
    BatError
        Where the file is something else.
    """
    try:
        return _CELLS.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise BatError(f"{path}: not the cells of a table: {str(error).splitlines()[0]}") from None
