"""ESC-50: environmental sounds, 2,000 clips of 5 s in 50 classes and 5 folds.

::

    meta/esc50.csv      filename,fold,target,category,esc10,src_file,take
    audio/<filename>    WAV, 44.1 kHz, mono

Published at https://github.com/karolpiczak/ESC-50 (Piczak, 2015); an archive of that repository
has one folder around it all.
"""

from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import Row, read_csv, root_of
from bat.data.sources import Source

_LIST = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "target", "category")
_FOLDS = range(1, 6)


def read(source: Source) -> Listing:
    """List the clips; the parts are fold-1 to fold-5, the classes categories by their target.

    Raises
    ------
    BatError
        If the list is absent or a row of it is wrong.
    """
    root = root_of(source, _LIST)
    files = set(source.names)
    entries: list[Entry] = []
    category_of: dict[int, str] = {}
    for row in read_csv(source, root + _LIST, _COLUMNS, key="filename"):
        _check_target(row, category_of)
        file = f"{root}audio/{row['filename']}"
        entry = Entry(
            recording_id=PurePosixPath(row["filename"]).stem,
            part=f"fold-{_fold(row)}",
            file=file if file in files else None,
            labels=(row["category"],),
        )
        entries.append(entry)
    return Listing.of(
        entries,
        classes=tuple(category_of[target] for target in sorted(category_of)),
        order="esc50/target",
    )


def _fold(row: Row) -> int:
    fold = row.integer("fold")
    if fold not in _FOLDS:
        raise row.error(f"expected a fold from 1 to 5, found {fold}")
    return fold


def _check_target(row: Row, category_of: dict[int, str]) -> None:
    """Note which category a target stands for; refuse a row that says otherwise than others."""
    target, category = row.integer("target"), row["category"]
    known = category_of.setdefault(target, category)
    if known != category:
        raise row.error(f"target {target} is {category!r} here, but {known!r} above")
    if list(category_of.values()).count(category) > 1:
        raise row.error(f"{category!r} has target {target} here, but another above")
