"""What differs between two ledgers, and what is in one."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bat.data.ledger import LEDGER_SCHEMA, STATUSES, counts_by_status, describe
from bat.data.tables import read_table
from bat.data.versions import LEDGERS, beside_rows, find, versions

_EXAMPLES = 5
_REASONS_SHOWN = 20
_PIPED_WIDTH = 160
# What the list says of a recording, beside its labels; the further columns say what became of it.
_LISTED = ("part", "events", "transcript")
# What makes a reason that of one recording: another one's name, or its own length.
_PARTICULARS = {
    r"^same (bytes|samples) as .*$": "same ${1} as an earlier one",
    r"^[\d.]+ s, shorter": "shorter",
}


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """Rows that changed from one status to another."""

    before: str
    after: str
    rows: int
    examples: list[str]


@dataclass(frozen=True, kw_only=True)
class SomeRows:
    """How many rows it is about, and the ids of the first few."""

    rows: int
    examples: list[str]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What differs between two ledgers, A and B, whose rows are matched by recording_id.

    Attributes
    ----------
    counts_a, counts_b : dict
        Rows by status.
    appeared, vanished : SomeRows
        Rows of B that A lacks, and of A that B lacks.
    status : list of StatusChange
        Largest first.
    pcm : SomeRows
        Other samples with the same status.
    labels : SomeRows
        Other labels, whatever their order.
    other : dict of str to int
        Rows by column in which they differ besides: part, events and transcript of all rows, the
        further columns of those with the same status and samples.
    beside : list of str
        What the files say beside their rows in different ways: "classes", "order".
    """

    counts_a: dict[str, int]
    counts_b: dict[str, int]
    appeared: SomeRows
    vanished: SomeRows
    status: list[StatusChange]
    pcm: SomeRows
    labels: SomeRows
    other: dict[str, int]
    beside: list[str]

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        some = (self.appeared, self.vanished, self.pcm, self.labels)
        return any(each.rows for each in some) or bool(self.status or self.other or self.beside)


def compare(
    one: pl.DataFrame,
    other: pl.DataFrame,
    *,
    beside_one: Mapping[str, str] | None = None,
    beside_other: Mapping[str, str] | None = None,
) -> Differences:
    """Compare two ledgers; the order of their rows plays no part.

    Parameters
    ----------
    one, other : polars.DataFrame
        Rows of `bat.data.ledger.LEDGER_SCHEMA`: A and B.
    beside_one, beside_other : mapping of str to str, optional
        What the files say beside their rows.
    """
    both = one.join(other, on="recording_id", how="inner", suffix="_b", maintain_order="left")
    same_status = both.filter(~_differs("status"))
    samples, labels = _differs("pcm_sha256"), _differs("labels")
    before, after = beside_one or {}, beside_other or {}
    return Differences(
        counts_a=counts_by_status(one),
        counts_b=counts_by_status(other),
        appeared=_some(other.join(one, on="recording_id", how="anti", maintain_order="left")),
        vanished=_some(one.join(other, on="recording_id", how="anti", maintain_order="left")),
        status=_status_changes(both.filter(_differs("status"))),
        pcm=_some(same_status.filter(samples)),
        labels=_some(both.filter(labels)),
        other=_counts(both, _LISTED) | _counts(same_status.filter(~samples), _MEASURED),
        beside=sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k)),
    )


_MEASURED = tuple(
    name
    for name in LEDGER_SCHEMA.columns
    if name not in ("recording_id", "status", "labels", "pcm_sha256", *_LISTED)
)


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"{name}_b"))


def _some(rows: pl.DataFrame) -> SomeRows:
    return SomeRows(rows=rows.height, examples=rows["recording_id"].head(_EXAMPLES).to_list())


def _counts(both: pl.DataFrame, names: Sequence[str]) -> dict[str, int]:
    counts = both.select(_differs(name).sum().alias(name) for name in names).row(0, named=True)
    return {name: count for name, count in counts.items() if count}


def _status_changes(changed: pl.DataFrame) -> list[StatusChange]:
    groups = (
        changed.group_by(before="status", after="status_b", maintain_order=True)
        .agg(rows=pl.len(), examples=pl.col("recording_id").head(_EXAMPLES))
        .sort("rows", descending=True, maintain_order=True)
    )
    return [StatusChange(**row) for row in groups.iter_rows(named=True)]


def print_differences(
    a: str,
    b: str,
    *,
    ledgers: Path = LEDGERS,
    as_json: bool = False,
    console: Console | None = None,
) -> bool:
    """Print what differs between two ledgers; return whether anything does.

    Parameters
    ----------
    a, b : str
        Paths or versions, see `bat.data.versions.find`.
    ledgers : Path
        The folder of versions.
    as_json : bool
        Print the fields of `Differences` as JSON.
    console : Console, optional

    Raises
    ------
    BatError
        If there is no such ledger, or it is damaged.
    """
    paths = [find(name, ledgers) for name in (a, b)]
    one, other = (read_table(path, LEDGER_SCHEMA) for path in paths)
    found = compare(
        one, other, beside_one=beside_rows(paths[0]), beside_other=beside_rows(paths[1])
    )
    console = console or _console()
    if as_json:
        text = json.dumps(asdict(found) | {"equal": not found.any}, indent=1, ensure_ascii=False)
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    else:
        _print_counts(console, found)
        _print_changes(console, found)
    return found.any


def _print_counts(console: Console, found: Differences) -> None:
    table = Table("status")
    for heading in ("A", "B", "B - A"):
        table.add_column(heading, justify="right")
    for status in STATUSES:
        before, after = found.counts_a.get(status, 0), found.counts_b.get(status, 0)
        if before or after:
            table.add_row(status, f"{before:,}", f"{after:,}", f"{after - before:+,}")
    rows = sum(found.counts_a.values()), sum(found.counts_b.values())
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in rows), f"{rows[1] - rows[0]:+,}")
    console.print(table)


def _print_changes(console: Console, found: Differences) -> None:
    if not found.any:
        console.print("no difference")
        return
    table = Table("what differs")
    table.add_column("rows", justify="right")
    table.add_column("the first", overflow="fold")
    for change in found.status:
        what = f"{change.before} -> {change.after}"
        table.add_row(what, f"{change.rows:,}", escape(", ".join(change.examples)))
    groups = {
        "only in A": found.vanished,
        "only in B": found.appeared,
        "other samples, same status": found.pcm,
        "other labels": found.labels,
    }
    for what, some in groups.items():
        if some.rows:
            table.add_row(what, f"{some.rows:,}", escape(", ".join(some.examples)))
    for name, count in found.other.items():
        table.add_row(f"other {name}", f"{count:,}", "")
    for name in found.beside:
        table.add_row(f"other {name} of the whole", "", "")
    console.print(table)


def print_ledger(name: str, *, ledgers: Path = LEDGERS, console: Console | None = None) -> None:
    """Print the counts of a ledger by part and status, and why recordings are not usable.

    Parameters
    ----------
    name : str
        A path or a version, see `bat.data.versions.find`.
    ledgers : Path
        The folder of versions.
    console : Console, optional

    Raises
    ------
    BatError
        If there is no such ledger, or it is damaged.
    """
    path = find(name, ledgers)
    ledger = read_table(path, LEDGER_SCHEMA)
    console = console or _console()
    console.print(f"{path}: {describe(ledger)}", highlight=False, markup=False, soft_wrap=True)
    console.print(_by_part(ledger))
    if (ledger["status"] != "ok").any():
        console.print(_reasons(ledger))


def _by_part(ledger: pl.DataFrame) -> Table:
    statuses = list(counts_by_status(ledger))
    counts = ledger.group_by("part", "status").len()
    table = Table("part")
    for heading in (*statuses, "all"):
        table.add_column(heading, justify="right")
    for part in ledger["part"].unique(maintain_order=True):
        of_part = dict(counts.filter(part=part).select("status", "len").iter_rows())
        cells = [of_part.get(status, 0) for status in statuses]
        table.add_row(escape(part), *(f"{cell:,}" for cell in (*cells, sum(cells))))
    return table


def count_reasons(ledger: pl.DataFrame) -> pl.DataFrame:
    """Count why recordings are not usable, the most frequent reason first.

    Parameters
    ----------
    ledger : polars.DataFrame
        Columns recording_id, status and reason of a ledger.

    Returns
    -------
    polars.DataFrame
        Columns status, reason (without what is particular to one recording), rows, and the first
        recording_id.
    """
    reason = pl.col("reason")
    for particulars, without in _PARTICULARS.items():
        reason = reason.str.replace(particulars, without)
    return (
        ledger.lazy()
        .filter(pl.col("status") != "ok")
        .group_by("status", reason, maintain_order=True)
        .agg(rows=pl.len(), first=pl.col("recording_id").first())
        .sort("rows", descending=True, maintain_order=True)
        .collect()
    )


def _reasons(ledger: pl.DataFrame) -> Table:
    groups = count_reasons(ledger)
    title = f"the {_REASONS_SHOWN} most frequent reasons of {groups.height}"
    table = Table("status", title=title if groups.height > _REASONS_SHOWN else None)
    table.add_column("reason", overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("the first", overflow="fold")
    for status, why, rows, first in groups.head(_REASONS_SHOWN).iter_rows():
        table.add_row(status, escape(why), f"{rows:,}", escape(first))
    return table


def print_versions(
    dataset: str, *, ledgers: Path = LEDGERS, console: Console | None = None
) -> None:
    """Print the versions of a data set's ledger with their counts.

    Raises
    ------
    BatError
        If there is none, or one is not what it was.
    """
    find(dataset, ledgers)  # says which data sets there are
    console = console or _console()
    for version in versions(ledgers / dataset):
        path = find(f"{dataset}/{version.number}", ledgers)
        counts = describe(read_table(path, LEDGER_SCHEMA))
        line = f"{dataset}/{version.number}  {version.digest}  {counts}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _console() -> Console:
    """Where output is piped there is no screen whose width matters."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)
