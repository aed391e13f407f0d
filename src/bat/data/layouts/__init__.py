"""How data sets lie on disk: a module for each layout, which reads the data set's own lists."""

import inspect
from collections.abc import Callable
from typing import Any

from bat.data.entries import Listing
from bat.data.layouts import (
    audioset,
    birdset,
    dcase2016_task2,
    esc50,
    librispeech,
    meetings,
    speech_commands,
    user_table,
)
from bat.data.sources import Source
from bat.errors import BatError

LAYOUTS: dict[str, Callable[..., Listing]] = {
    "meetings": meetings.read,
    "esc50": esc50.read,
    "speech-commands": speech_commands.read,
    "audioset": audioset.read,
    "dcase2016-task2": dcase2016_task2.read,
    "birdset": birdset.read,
    "librispeech": librispeech.read,
    "csv": user_table.read,
}


def read_layout(name: str, source: Source, **options: Any) -> Listing:
    """List the entries and classes of a data set.

    Parameters
    ----------
    name : str
        A key of `LAYOUTS`.
    source : Source
    **options
        What the layout's `read` takes besides.

    Returns
    -------
    Listing
        With one entry or more, whose ids are printable and differ.

    Raises
    ------
    BatError
        If there is no such layout or option, a required option is absent, or the data set does
        not have the layout (see its module).
    """
    if name not in LAYOUTS:
        raise BatError(f"layout: expected one of {', '.join(LAYOUTS)}, found {name!r}")
    _check_options(name, options)
    listing = LAYOUTS[name](source, **options)
    _check_ids(name, listing)
    return listing


def _check_options(name: str, options: dict[str, Any]) -> None:
    parameters = inspect.signature(LAYOUTS[name]).parameters.values()
    accepted = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    unknown = sorted(options.keys() - accepted)
    if unknown:
        known = ", ".join(accepted) or "none"
        raise BatError(f"layout {name}: unknown option {unknown[0]!r}, it takes: {known}")
    for option, parameter in accepted.items():
        if parameter.default is parameter.empty and option not in options:
            raise BatError(f"layout {name}: expected the option {option!r}")


def _check_ids(name: str, listing: Listing) -> None:
    if not listing.entries:
        raise BatError(f"layout {name}: expected recordings, found none")
    seen: set[str] = set()
    for entry in listing.entries:
        if not entry.recording_id.isprintable():
            raise BatError(
                f"layout {name}: expected a printable recording id, found {entry.recording_id!r}"
            )
        if entry.recording_id in seen:
            raise BatError(f"layout {name}: two recordings have the id {entry.recording_id!r}")
        seen.add(entry.recording_id)
