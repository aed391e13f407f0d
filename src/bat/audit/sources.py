"""Checks that the files of users' own folders are still those that the inventory pinned."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bat.audit.experiment import Experiment
from bat.data.sources import INVENTORY_SCHEMA
from bat.data.tables import read_table
from bat.errors import BatError
from bat.provenance.graph import Problem
from bat.provenance.rehashing import sha256_of_files

_INVENTORY = "inventory.parquet"


def check_sources(experiment: Experiment) -> Iterator[Problem]:
    """Hash the folders that data sets lie in, and compare them with their inventories."""
    for folder, recipe in experiment.recipes.items():
        inventory = folder / _INVENTORY
        if recipe.stage == "inventory" and experiment.intact(inventory):
            try:
                table = read_table(inventory, INVENTORY_SCHEMA)
                source = Path(recipe.settings["source"]["path"])
            except (BatError, KeyError, TypeError) as error:
                message = f"{inventory}: is no inventory of a folder: {error}"
                yield Problem(kind="source", path=inventory, message=message, spoils=(inventory,))
                continue
            yield from _check_source(inventory, table, source, experiment)


def _check_source(
    inventory: Path, table: pl.DataFrame, source: Path, experiment: Experiment
) -> Iterator[Problem]:
    sizes = {source / name: size for name, size in table.select("path", "bytes").iter_rows()}
    found = sha256_of_files(sizes, experiment.jobs)
    for path, expected in zip(sizes, table["sha256"], strict=True):
        if found[path] != expected:
            yield Problem(
                kind="source",
                path=path,
                message=f"{path}: is not what {inventory} says: expected sha256 {expected}, "
                f"found {found[path] or 'no file'}; put it back, or take stock anew",
                spoils=(inventory,),
            )
