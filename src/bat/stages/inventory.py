"""Take stock of a data set's folder: every file by path, size and hash."""

from pathlib import Path

from bat.data.sources import INVENTORY_SCHEMA, take_inventory
from bat.data.tables import write_table
from bat.provenance.job import Job
from bat.settings import InventorySettings

DETERMINISM = "bitwise"


def run(job: Job, settings: InventorySettings) -> None:
    """Write ``inventory.parquet``; whoever reads the folder later compares with it."""
    files = take_inventory(Path(settings.source.path))
    write_table(files, job.output("inventory.parquet"), INVENTORY_SCHEMA)
