"""AudioSet: excerpts of 10 s from YouTube, 527 classes, several per clip.

::

    class_labels_indices.csv            index,mid,display_name
    balanced_train_segments.csv         three lines of comments, then rows without a header:
    unbalanced_train_segments.csv       YTID, start_seconds, end_seconds, "mid,mid,..."
    eval_segments.csv
    audio/<part>/.../Y<YTID>.wav        or <YTID>.wav, or .flac, at any depth, for the parts
                                        balanced_train, unbalanced_train and eval

The lists are published at https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv
(Gemmeke et al., 2017); the audio is not, and no copy of it is complete.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import read_csv, read_headless_csv, root_of
from bat.data.sources import Source
from bat.errors import BatError

_PARTS = ("balanced_train", "unbalanced_train", "eval")
_ORDERS = ("index", "alphabetical")
_LABELS = "class_labels_indices.csv"
_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
_EXTENSIONS = {".wav", ".flac"}
_ID_CHARACTERS = 11


def read(source: Source, *, parts: Sequence[str] = _PARTS, order: str = "index") -> Listing:
    """List the clips of some parts under their YouTube ids.

    Parameters
    ----------
    source : Source
    parts : sequence of str
        Which of balanced_train, unbalanced_train and eval.
    order : str
        Of the classes: "index", that of `class_labels_indices.csv`, or "alphabetical" by display
        name. Both are in use and agree in hardly a place, so a trained head has one or the other.

    Raises
    ------
    BatError
        If a list is absent, a row of it is wrong, a clip is in two parts or has two files, or
        `parts` or `order` is not one of those above.
    """
    if not parts or not set(parts) <= set(_PARTS) or len(set(parts)) < len(parts):
        raise BatError(f"audioset: expected parts among {', '.join(_PARTS)}, found {list(parts)}")
    if order not in _ORDERS:
        raise BatError(f"audioset: expected order to be index or alphabetical, found {order!r}")
    root = root_of(source, _LABELS)
    name_of = _display_names(source, root)
    entries: dict[str, Entry] = {}
    for part in parts:
        for entry in _clips(source, root, part, name_of):
            if entry.recording_id in entries:
                other = entries[entry.recording_id].part
                raise BatError(f"audioset: {entry.recording_id} is in {other} and in {part}")
            entries[entry.recording_id] = entry
    classes = name_of.values() if order == "index" else sorted(name_of.values())
    return Listing(entries=list(entries.values()), classes=tuple(classes))


def _display_names(source: Source, root: str) -> dict[str, str]:
    """Return the display name of each machine id, in the order of the index."""
    rows = list(
        read_csv(source, root + _LABELS, ("index", "mid", "display_name"), key="display_name")
    )
    rows.sort(key=lambda row: row.integer("index"))
    name_of: dict[str, str] = {}
    for position, row in enumerate(rows):
        if row.integer("index") != position or row["mid"] in name_of:
            raise row.error(f"expected every index from 0 and every mid once, found {row.fields}")
        name_of[row["mid"]] = row["display_name"]
    return name_of


def _clips(source: Source, root: str, part: str, name_of: dict[str, str]) -> Iterator[Entry]:
    files = _files_by_id(source, f"{root}audio/{part}/")
    for row in read_headless_csv(source, f"{root}{part}_segments.csv", _COLUMNS, key="YTID"):
        mids = [mid.strip() for mid in row["positive_labels"].split(",")]
        unknown = next((mid for mid in mids if mid not in name_of), None)
        if unknown is not None:
            raise row.error(f"expected labels of {_LABELS}, found {unknown!r}")
        yield Entry(
            recording_id=row["YTID"],
            part=part,
            file=files.get(row["YTID"]),
            labels=tuple(dict.fromkeys(name_of[mid] for mid in mids)),
        )


def _files_by_id(source: Source, folder: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in source.names:
        path = PurePosixPath(name)
        if not name.startswith(folder) or path.suffix not in _EXTENSIONS:
            continue
        # An id may itself begin with "Y", but always has eleven characters.
        prefixed = len(path.stem) == _ID_CHARACTERS + 1 and path.stem.startswith("Y")
        clip = path.stem[1:] if prefixed else path.stem
        if clip in files:
            raise BatError(f"audioset: expected one file a clip, found {files[clip]} and {name}")
        files[clip] = name
    return files
