"""What ledgers, manifests and figures have to show."""

import base64
import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bat.audit.page.data import Figure, Index, Ledger, Manifest, Reason
from bat.audit.page.records import Records
from bat.data.comparison import count_reasons
from bat.data.ledger import counts_by_status

_LEDGER, _MANIFEST = "ledger.parquet", "manifest.parquet"
_REASONS_SHOWN = 20
_IMAGES = {".png": "image/png", ".svg": "image/svg+xml"}
# A page of some megabytes still opens at once; what is larger is named with its hash.
LARGEST_IMAGE_BYTES = 2 * 2**20


def ledgers(records: Records) -> list[Ledger]:
    """Count what became of the recordings of every ledger among the records."""
    return [_ledger(records, index, path) for index, path in _files(records, _LEDGER)]


def manifests(records: Records) -> list[Manifest]:
    """Count the clips of every manifest among the records."""
    return [_manifest(records, index, path) for index, path in _files(records, _MANIFEST)]


def _files(records: Records, name: str) -> Iterator[tuple[Index, Path]]:
    """Yield the files of a name that records describe and that are there."""
    for index, record in enumerate(records.records):
        path = records.path(index, name)
        if any(made.name == name for made in record.outputs) and path.is_file():
            yield index, path


def _ledger(records: Records, index: Index, path: Path) -> Ledger:
    rows = pl.read_parquet(path, columns=["recording_id", "part", "status", "reason"])
    statuses = list(counts_by_status(rows))
    parts = rows["part"].unique(maintain_order=True).to_list()
    counts = {
        (part, status): count
        for part, status, count in rows.group_by("part", "status").len().iter_rows()
    }
    reasons = count_reasons(rows)
    return Ledger(
        record=index,
        dataset=records.records[index].selection.get("dataset", ""),
        statuses=statuses,
        parts=parts,
        rows=[[counts.get((part, status), 0) for status in statuses] for part in parts],
        reasons=[Reason(**row) for row in reasons.head(_REASONS_SHOWN).iter_rows(named=True)],
        more_reasons=max(0, reasons.height - _REASONS_SHOWN),
    )


def _manifest(records: Records, index: Index, path: Path) -> Manifest:
    counts = (
        pl.scan_parquet(path).select("part").group_by("part", maintain_order=True).len().collect()
    )
    return Manifest(
        record=index,
        task=records.records[index].selection.get("task", ""),
        parts=counts["part"].to_list(),
        clips=counts["len"].to_list(),
    )


def figures(records: Records, index: Index) -> list[Figure]:
    """Return the figures that a record describes, each with the table of its numbers.

    Parameters
    ----------
    records
        Collected records.
    index
        The record of the figures.
    """
    found = []
    for made in records.records[index].outputs:
        path = records.path(index, made.name)
        if path.suffix not in _IMAGES or not path.is_file():
            continue
        columns, rows = _numbers(path.with_suffix(".csv"))
        found.append(
            Figure(
                record=index,
                name=path.stem,
                bytes=made.bytes,
                sha256=made.sha256,
                image=_address(path),
                columns=columns,
                rows=rows,
            )
        )
    return found


def _address(path: Path) -> str | None:
    content = path.read_bytes()
    if len(content) > LARGEST_IMAGE_BYTES:
        return None
    return f"data:{_IMAGES[path.suffix]};base64,{base64.b64encode(content).decode('ascii')}"


def _numbers(path: Path) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        return [], []
    with path.open(encoding="utf-8", newline="") as stream:
        columns, *rows = csv.reader(stream)
    return columns, rows
