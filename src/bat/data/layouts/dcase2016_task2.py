"""DCASE 2016 task 2, sound events in an office, as the HEAR benchmark prepared it.

::

    labelvocabulary.csv                      idx,label; 11 labels
    train.json, valid.json, test.json        {file name: [{"label", "start", "end"}, ...]},
                                             start and end in milliseconds
    48000/{train,valid,test}/<file name>     WAV, 48 kHz; 72 recordings of 120 s in all

Published as hear2021-dcase2016_task2-hear2021-full-48000.tar.gz at
https://zenodo.org/records/6332517 (Turian et al., 2022); the archive has folders around it all.
"""

import json
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from bat.data.entries import Entry, Event, Listing
from bat.data.layouts.lists import line_error, read_csv, read_text, root_of
from bat.data.sources import Source
from bat.errors import BatError

_VOCABULARY = "labelvocabulary.csv"
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_RATE = "48000"


def read(source: Source) -> Listing:
    """List the recordings with their events; the parts are train, validation and test.

    The labels of a recording are those of its events, in the order of the classes.

    Raises
    ------
    BatError
        If a list is absent or broken, a label is unknown, an event does not end after it starts,
        or a file is in two parts.
    """
    root = root_of(source, _VOCABULARY)
    classes = _vocabulary(source, root + _VOCABULARY)
    files = set(source.names)
    entries: dict[str, Entry] = {}
    for split, part in _SPLITS.items():
        for name, events in _events(source, f"{root}{split}.json", classes):
            if name in entries:
                raise BatError(f"{root}{split}.json: {name!r} is also in {entries[name].part}")
            file = f"{root}{_RATE}/{split}/{name}"
            heard = {event.label for event in events}
            entries[name] = Entry(
                recording_id=PurePosixPath(name).stem,
                part=part,
                file=file if file in files else None,
                labels=tuple(label for label in classes if label in heard),
                events=events,
            )
    return Listing.of(list(entries.values()), classes=classes, order="dcase2016-task2/vocabulary")


def _vocabulary(source: Source, name: str) -> tuple[str, ...]:
    rows = list(read_csv(source, name, ("idx", "label"), key="label"))
    rows.sort(key=lambda row: row.integer("idx"))
    for position, row in enumerate(rows):
        if row.integer("idx") != position:
            raise row.error(f"expected every idx from 0 once, found {row['idx']}")
    return tuple(row["label"] for row in rows)


def _events(
    source: Source, name: str, classes: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Event, ...]]]:
    text = read_text(source, name)
    try:
        listed = json.loads(text, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        raise line_error(name, error.lineno, f"expected JSON, found: {error.msg}") from error
    except ValueError as error:
        raise BatError(f"{name}: {error}") from error
    if not isinstance(listed, dict):
        raise BatError(f"{name}: expected an object of file names")
    for file, events in listed.items():
        if not isinstance(events, list):
            raise BatError(f"{name}: {file!r}: expected a list of events")
        yield (
            file,
            tuple(
                _event(event, f"{name}: {file!r}, event {number}", classes)
                for number, event in enumerate(events)
            ),
        )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{repeated!r} stands there twice")
    return content


def _event(event: Any, where: str, classes: tuple[str, ...]) -> Event:
    """Read one event, turning milliseconds into seconds."""
    if not isinstance(event, dict) or not {"label", "start", "end"} <= event.keys():
        raise BatError(f"{where}: expected label, start and end, found {event!r}")
    if event["label"] not in classes:
        raise BatError(f"{where}: expected a label of {_VOCABULARY}, found {event['label']!r}")
    start_ms, end_ms = event["start"], event["end"]
    times = all(
        isinstance(time, int | float) and math.isfinite(time) for time in (start_ms, end_ms)
    )
    if not times or not 0 <= start_ms < end_ms:
        raise BatError(f"{where}: expected 0 <= start < end in ms, found {start_ms!r}, {end_ms!r}")
    return Event(label=event["label"], onset_s=start_ms / 1000, offset_s=end_ms / 1000)
