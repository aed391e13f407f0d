"""Comparison sets: recordings chosen by name, so that two numbers are of the same ones.

Copies of AudioSet differ in which clips survived, and a metric of 18,886 clips is no metric of
20,371. A comparison set says by name which recordings count, for example those that two copies
share. It is a file of its own, made from ledgers or from a list of ids, pinned by its hash where
parameters use it, and every manifest made with it says so.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Self

import pandera.polars as pa
import polars as pl

from bat.data.tables import check_table, holds, read_metadata, read_table, write_table
from bat.errors import BatError

OPERATIONS = ("ok", "intersection", "difference")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OF_FILE, _OF_MANIFEST = "made", "comparison_set"

SELECTION_SCHEMA = pa.DataFrameSchema(
    {"recording_id": pa.Column(pl.String)},
    checks=pa.Check(
        holds(pl.col("recording_id") > pl.col("recording_id").shift(1)),
        error="recording ids are sorted, each once",
    ),
    strict=True,
    name="comparison set",
)
_LEDGER_COLUMNS = pa.DataFrameSchema(
    {name: pa.Column(pl.String) for name in ("recording_id", "part", "status")},
    strict=True,
    name="ledger",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparisonSet:
    """Some recordings of a data set under a name.

    Attributes
    ----------
    name : str
        Letters, digits, "_", "." and "-", for tables and file names.
    recording_ids : polars.Series of str
        Sorted, each once; at least one.
    made : mapping
        How the set came to be, as plain values: the operation, the parts, and the SHA-256 of the
        ledgers or of the list of ids that it was made from.

    Raises
    ------
    BatError
        If the name is another, or there is no recording.
    """

    name: str
    recording_ids: pl.Series
    made: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BatError(
                "comparison set: expected a name of at most 64 letters, digits, _ . -, "
                f"found {self.name!r}"
            )
        if not len(self.recording_ids):
            raise BatError(f"comparison set {self.name}: expected recordings, found none")


@dataclass(frozen=True, kw_only=True)
class AppliedSet:
    """What became of a comparison set in a manifest.

    Attributes
    ----------
    name, sha256 : str
        Of the set and of its file.
    parts : tuple of str
        Where it applies; the other parts are whole.
    named : int
        Recordings of the set: those below, added up.
    usable, unusable : int
        Of these parts, by whether their status in the ledger is "ok".
    elsewhere : int
        In parts where the set does not apply.
    """

    name: str
    sha256: str
    parts: tuple[str, ...]
    named: int
    usable: int
    unusable: int
    elsewhere: int

    @classmethod
    def from_plain(cls, value: Mapping[str, Any] | None) -> Self | None:
        """Return what `dataclasses.asdict` made plain; None stays None."""
        return None if value is None else cls(**{**value, "parts": tuple(value["parts"])})

    def __str__(self) -> str:
        """Name the set and its parts: "both-copies (eval)"."""
        return f"{self.name} ({', '.join(self.parts)})"


def select(
    ledgers: Sequence[Path], *, name: str, parts: Collection[str] = (), how: str = "ok"
) -> ComparisonSet:
    """Choose the usable recordings of one ledger, or by comparing several.

    Parameters
    ----------
    ledgers : sequence of Path
        Ledgers of one data set, whose recordings have the same ids in all of them.
    name : str
    parts : collection of str
        Parts of the data set to choose from; () takes all.
    how : {"ok", "intersection", "difference"}
        What is usable in the one ledger, in every one of several, or in the first of several and
        in none of the others.

    Raises
    ------
    BatError
        If a file is no ledger or lacks a part, the number of ledgers does not fit, or nothing is
        chosen.
    """
    _check_count(ledgers, how)
    usable = [_usable(path, parts) for path in ledgers]
    joined: Literal["anti", "semi"] = "anti" if how == "difference" else "semi"
    chosen = reduce(lambda one, other: one.join(other, on="recording_id", how=joined), usable)
    made = {
        "operation": how,
        "parts": sorted(parts),
        "ledgers": [_sha256(path) for path in ledgers],
    }
    return ComparisonSet(name=name, recording_ids=chosen["recording_id"].sort(), made=made)


def from_ids(path: Path, *, name: str) -> ComparisonSet:
    """Choose the recordings of a plain list: one id a line, in UTF-8, in any order.

    Raises
    ------
    BatError
        If the file is absent, is not text, has a line that is no id or repeats one, or has none.
    """
    if not path.is_file():
        raise BatError(f"{path}: no such file; expected a list of recording ids, one a line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BatError(f"{path}: expected text in UTF-8, found another encoding") from error
    first_at: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        recording_id = line.strip()
        if not recording_id:
            continue
        if not recording_id.isprintable():
            raise BatError(f"{path}, line {number}: expected a recording id, found {line!r}")
        if recording_id in first_at:
            first = first_at[recording_id]
            raise BatError(f"{path}, line {number}: {recording_id} is already in line {first}")
        first_at[recording_id] = number
    ids = pl.Series("recording_id", list(first_at), pl.String).sort()
    made = {"operation": "ids", "list": _sha256(path)}
    return ComparisonSet(name=name, recording_ids=ids, made=made)


def print_selection(
    *,
    name: str,
    out: Path,
    ledgers: Sequence[Path] = (),
    ids: Path | None = None,
    parts: Sequence[str] = (),
    how: str | None = None,
) -> None:
    """Make a comparison set, write it, and print how parameters name it.

    Without `how` one ledger gives what is usable in it, several what is usable in all.

    Raises
    ------
    BatError
        If both ledgers and ids are given or neither, or as `select` and `from_ids` say.
    """
    if bool(ledgers) == (ids is not None) or (ids is not None and (parts or how)):
        raise BatError(
            "comparison set: expected --ledger, once or more, with --part and --how; or --ids alone"
        )
    if ids is not None:
        chosen = from_ids(ids, name=name)
    else:
        operation = how or ("ok" if len(ledgers) == 1 else "intersection")
        chosen = select(ledgers, name=name, parts=parts, how=operation)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_selection(chosen, out)
    where = ", ".join(parts) or "..."
    print(f"{out}: {len(chosen.recording_ids)} recordings; for a task of the parameters:")  # noqa: T201
    print(  # noqa: T201
        f"    only: {{name: {name}, path: {out}, sha256: {_sha256(out)}, parts: [{where}]}}"
    )


def write_selection(chosen: ComparisonSet, path: Path) -> None:
    """Write a comparison set as Parquet; the same set gives the same bytes."""
    made = json.dumps({"name": chosen.name, **chosen.made}, sort_keys=True)
    table = chosen.recording_ids.to_frame("recording_id")
    write_table(table, path, SELECTION_SCHEMA, metadata={_OF_FILE: made})


def read_selection(path: Path, *, sha256: str | None = None) -> ComparisonSet:
    """Read a comparison set.

    Parameters
    ----------
    path : Path
    sha256 : str, optional
        What the file must hash to.

    Raises
    ------
    BatError
        If the file is absent, is another than expected, or is no comparison set.
    """
    if not path.is_file():
        raise BatError(f"{path}: no such comparison set; bat ledger select makes one")
    if sha256 is not None and (found := _sha256(path)) != sha256:
        raise BatError(f"{path}: expected the comparison set of sha256 {sha256}, found {found}")
    table = read_table(path, SELECTION_SCHEMA)
    made = json.loads(read_metadata(path, _OF_FILE))
    return ComparisonSet(name=made.pop("name"), recording_ids=table["recording_id"], made=made)


def restrict(
    ledger: pl.DataFrame, chosen: ComparisonSet, *, sha256: str, parts: Sequence[str]
) -> tuple[pl.DataFrame, AppliedSet]:
    """Leave of some parts of a ledger what a comparison set names.

    Parameters
    ----------
    ledger : polars.DataFrame
        Rows of `bat.data.ledger.LEDGER_SCHEMA`.
    chosen : ComparisonSet
    sha256 : str
        Of its file.
    parts : sequence of str
        Where the set applies; other parts stay whole.

    Returns
    -------
    polars.DataFrame
        The rows that are left, in their order.
    AppliedSet
        What became of the recordings that the set names.

    Raises
    ------
    BatError
        If the set names a recording that the ledger does not list, or no usable one of a part.
    """
    # Looked up once: it is the larger part of the work where there are millions.
    named = ledger["recording_id"].is_in(chosen.recording_ids.implode())
    of_set = ledger.filter(named)
    if of_set.height < len(chosen.recording_ids):
        raise _unlisted(of_set, chosen)
    here = pl.col("part").is_in(list(parts))
    inside = of_set.filter(here)
    usable = inside.filter(pl.col("status") == "ok")
    empty = [part for part in parts if part not in usable["part"]]
    if empty:
        raise BatError(
            f"comparison set {chosen.name}: names no usable recording of part {empty[0]}"
        )
    applied = AppliedSet(
        name=chosen.name,
        sha256=sha256,
        parts=tuple(parts),
        named=of_set.height,
        usable=usable.height,
        unusable=inside.height - usable.height,
        elsewhere=of_set.height - inside.height,
    )
    return ledger.filter(pl.lit(named) | ~here), applied


def restrict_clips(
    clips: pl.DataFrame, chosen: ComparisonSet, *, parts: Collection[str]
) -> pl.DataFrame:
    """Leave of some parts of a manifest the clips of recordings that a comparison set names.

    Parts of clips are not always those of recordings: the pieces of a long recording may go to
    several.
    """
    component = pl.col("components").struct.field("recording_id")
    of_others = (
        clips.lazy()
        .filter(pl.col("part").is_in(list(parts)))
        .select("clip_id", "components")
        .explode("components")
        .filter(~component.is_in(chosen.recording_ids.implode()))
        .select("clip_id")
        .collect()
    )
    return clips.join(of_others, on="clip_id", how="anti", maintain_order="left")


def applied_metadata(applied: AppliedSet | None) -> dict[str, str]:
    """Return what a manifest says of the comparison set that it was made with, if any."""
    value = None if applied is None else asdict(applied)
    return {_OF_MANIFEST: json.dumps(value, sort_keys=True)}


def read_applied(path: Path) -> AppliedSet | None:
    """Return the comparison set that a manifest was made with; None for whole data sets.

    Raises
    ------
    BatError
        If the file is absent or damaged, or does not say.
    """
    return AppliedSet.from_plain(json.loads(read_metadata(path, _OF_MANIFEST)))


def _check_count(ledgers: Sequence[Path], how: str) -> None:
    if how not in OPERATIONS:
        raise BatError(f"comparison set: expected how among {', '.join(OPERATIONS)}, found {how}")
    if (how == "ok") != (len(ledgers) == 1):
        expected = "one ledger" if how == "ok" else "two ledgers or more"
        raise BatError(f"comparison set: {how} is of {expected}, found {len(ledgers)}")


def _usable(path: Path, parts: Collection[str]) -> pl.DataFrame:
    """Return the ids of a ledger's usable recordings; no other columns are read."""
    try:
        rows = pl.scan_parquet(path).select(list(_LEDGER_COLUMNS.columns)).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).splitlines()[0]
        raise BatError(f"{path}: expected a ledger, found: {first_line}") from error
    known = check_table(rows, _LEDGER_COLUMNS)["part"].unique().sort().to_list()
    absent = [part for part in parts if part not in known]
    if absent:
        raise BatError(f"{path}: no recording in part {absent[0]!r}; its parts: {', '.join(known)}")
    wanted = rows.filter(pl.col("part").is_in(list(parts))) if parts else rows
    return wanted.filter(pl.col("status") == "ok").select("recording_id")


def _unlisted(of_set: pl.DataFrame, chosen: ComparisonSet) -> BatError:
    """Return, not raise, the error about recordings that the ledger does not list."""
    named = chosen.recording_ids.to_frame("recording_id")
    unlisted = named.join(of_set, on="recording_id", how="anti", maintain_order="left")
    return BatError(
        f"comparison set {chosen.name}: {unlisted.height} of {named.height} recordings are "
        f"not in the data set's list, the first is {unlisted['recording_id'][0]}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
