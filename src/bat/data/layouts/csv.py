"""A data set of one's own: audio files of any kind and one CSV table.

::

    <table>.csv     path,label,fold     or     path,label,split
    ...             the files, at paths relative to the data set's folder

The table is comma-separated text in UTF-8 with a header; further columns are left out. A label
may be several, "robin;wren". A fold is a short name, and every fold is tested once by models that
were trained on the others; a split is train, validation or test.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import Record, check_header, line_error, read_table_text, root_of
from bat.data.sources import Source

_SPLITS = ("train", "validation", "test")
_SEPARATOR = ";"
# A fold's name becomes part of names of files and of the parameters.
_FOLD = re.compile(r"[A-Za-z0-9_.-]{1,59}")

Problem = tuple[int, str]  # line number and message


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A row as far as it could be read."""

    line: int
    path: str
    labels: tuple[str, ...]
    group: str  # fold or split


def read(
    source: Source,
    *,
    table: str,
    classes: Sequence[str] | None = None,
    rare_classes: bool = False,
) -> Listing:
    """List the files of a table.

    A recording's id is its path, or a hash of a path that is not printable. The part is "fold-"
    and the fold, or the split.

    Parameters
    ----------
    source : Source
    table : str
        Path of the table in the data set's folder.
    classes : sequence of str, optional
        The labels allowed, in the order of class ids; without it, the labels that occur, sorted.
    rare_classes : bool
        Whether a class may have no file in some of the folds. There it plays no part in means
        over classes, so that folds are not quite comparable.

    Raises
    ------
    BatError
        With the first problem, its line, and the number of further ones: a file that is absent
        or listed twice, a file in two splits, a label that is empty or not allowed, a fold that
        is no short name, a split that is none; a class without a file in some fold (see
        `rare_classes`), or that occurs in one fold only, so that training without that fold never
        sees it; a class of the test or validation split that is not in the train split. A table
        that is absent, not in UTF-8, badly quoted or without a column is refused by itself.
    """
    root = root_of(source, table)
    header, records = read_table_text(source, root + table)
    grouping = _grouping(table, header)
    present = {name.removeprefix(root) for name in source.names if name.startswith(root)}
    items, problems = _items(header, records, grouping)
    problems += _file_problems(items, present, grouping)
    problems += _label_problems(items, classes)
    if grouping == "fold":
        problems += _fold_problems(items, rare_classes)
    else:
        problems += _split_problems(items)
    _raise_first(table, problems)
    order = "csv/sorted" if classes is None else "csv/given"
    if classes is None:
        classes = sorted({label for item in items for label in item.labels})
    entries = [_entry(item, root, table, grouping) for item in items]
    return Listing.of(entries, classes=tuple(classes), order=order)


def _entry(item: _Item, root: str, table: str, grouping: str) -> Entry:
    return Entry(
        recording_id=item.path if item.path.isprintable() else _hashed(item.path),
        part=f"fold-{item.group}" if grouping == "fold" else item.group,
        file=root + item.path,
        labels=item.labels,
        origin=f"{table}, line {item.line}",
    )


def _hashed(path: str) -> str:
    return f"file-{hashlib.sha256(path.encode()).hexdigest()[:12]}"


def _grouping(table: str, header: list[str]) -> str:
    """Return which of fold and split the table has."""
    found: list[str] = [name for name in ("fold", "split") if name in header]
    if len(found) > 1:
        raise line_error(table, 1, "expected a column fold or a column split, found both")
    check_header(table, header, ("path", "label", *(found or ["fold (or split)"])))
    return found[0]


def _items(
    header: list[str], records: list[Record], grouping: str
) -> tuple[list[_Item], list[Problem]]:
    items: list[_Item] = []
    problems: list[Problem] = []
    for line, fields in records:
        if len(fields) != len(header):
            problems.append((line, f"expected {len(header)} fields, found {len(fields)}"))
            continue
        by_column = dict(zip(header, (field.strip() for field in fields), strict=True))
        labels = [label.strip() for label in by_column["label"].split(_SEPARATOR)]
        item = _Item(
            line=line,
            path=str(PurePosixPath(by_column["path"])) if by_column["path"] else "",
            labels=tuple(dict.fromkeys(label for label in labels if label)),
            group=by_column[grouping],
        )
        items.append(item)
        if not all(labels):
            problems.append((line, f"expected a label, found {by_column['label']!r}"))
    if not records:
        problems.append((1, "expected files below the header, found none"))
    return items, problems


def _file_problems(items: list[_Item], present: set[str], grouping: str) -> Iterator[Problem]:
    first_at: dict[str, _Item] = {}
    for item in items:
        if not item.group:
            yield item.line, f"expected a {grouping}, found none"
        elif grouping == "split" and item.group not in _SPLITS:
            yield item.line, f"expected split train, validation or test, found {item.group!r}"
        elif grouping == "fold" and not _FOLD.fullmatch(item.group):
            yield item.line, f"expected a fold of letters, digits, _ . -, found {item.group!r}"
        if not item.path:
            yield item.line, "expected a path, found none"
            continue
        first = first_at.setdefault(item.path, item)
        if item.path not in present:
            yield item.line, f"no such file in the data set's folder: {item.path!r}"
        elif first.group != item.group:
            here, there = f"{grouping} {item.group}", f"{grouping} {first.group}"
            yield item.line, f"{item.path!r} is in {here}, but in {there} in line {first.line}"
        elif first is not item:
            yield item.line, f"{item.path!r} is already in line {first.line}"


def _label_problems(items: list[_Item], classes: Sequence[str] | None) -> Iterator[Problem]:
    if classes is None:
        return
    for item in items:
        unknown = [label for label in item.labels if label not in classes]
        if unknown:
            yield item.line, f"unknown label {unknown[0]!r}, expected one of {', '.join(classes)}"
    occurring = {label for item in items for label in item.labels}
    for label in classes:
        if label not in occurring:
            yield 1, f"expected files of the class {label!r}, found none"


def _fold_problems(items: list[_Item], rare_classes: bool) -> Iterator[Problem]:
    folds = {item.group: None for item in items if _FOLD.fullmatch(item.group)}  # in order
    for label, of_label in _by_label(items).items():
        found = {item.group for item in of_label}
        line, name = of_label[0].line, f"the class {label!r}"
        if len(found) == 1:
            fold = found.pop()
            without = "so training without that fold never sees it"
            yield line, f"{name} occurs in fold {fold} only, {without}"
        elif len(found) < len(folds) and not rare_classes:
            empty = next(fold for fold in folds if fold not in found)
            allowed = "the layout's rare_classes: true allows it"
            yield line, f"{name} of this line has no file in fold {empty}; {allowed}"


def _split_problems(items: list[_Item]) -> Iterator[Problem]:
    used = {item.group for item in items}
    for split in ("train", "test"):
        if items and split not in used:
            yield 1, f"expected files of the split {split}, found none"
    if "train" not in used:
        return
    for label, of_label in _by_label(items).items():
        if not any(item.group == "train" for item in of_label):
            first = of_label[0]
            yield first.line, f"the class {label!r} of split {first.group} is not in split train"


def _by_label(items: list[_Item]) -> dict[str, list[_Item]]:
    by_label: dict[str, list[_Item]] = {}
    for item in items:
        for label in item.labels:
            by_label.setdefault(label, []).append(item)
    return by_label


def _raise_first(table: str, problems: list[Problem]) -> None:
    if not problems:
        return
    # Stable: problems of one line stay in the order in which they were found.
    line, message = min(problems, key=lambda problem: problem[0])
    others = len(problems) - 1
    more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
    raise line_error(table, line, message + more)
