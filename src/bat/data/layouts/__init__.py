"""How data sets lie on disk: a module for each layout, which reads the data set's own lists."""

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from bat.data.entries import ENTRY_SCHEMA, Listing, repeated, unprintable
from bat.data.sources import Source
from bat.data.tables import check_table
from bat.errors import BatError

# A module of this package each, "_" for "-". They are loaded by name: a data set depends on the
# code of its own layout only.
LAYOUTS = (
    "meetings",
    "esc50",
    "speech-commands",
    "audioset",
    "dcase2016-task2",
    "birdset",
    "librispeech",
    "csv",
)


def read_layout(name: str, source: Source, **options: Any) -> Listing:
    """List the entries and classes of a data set.

    Parameters
    ----------
    name : str
        One of `LAYOUTS`.
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
    read: Callable[..., Listing] = _module(name).read
    _check_options(name, read, options)
    listing = read(source, **options)
    _check_ids(name, listing)
    check_table(listing.entries, ENTRY_SCHEMA)
    return listing


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _check_options(name: str, read: Callable[..., Listing], options: dict[str, Any]) -> None:
    parameters = inspect.signature(read).parameters.values()
    accepted = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    unknown = sorted(options.keys() - accepted)
    if unknown:
        known = ", ".join(accepted) or "none"
        raise BatError(f"layout {name}: unknown option {unknown[0]!r}, it takes: {known}")
    for option, parameter in accepted.items():
        if parameter.default is parameter.empty and option not in options:
            raise BatError(f"layout {name}: expected the option {option!r}")


def _check_ids(name: str, listing: Listing) -> None:
    ids = listing.entries["recording_id"]
    if not len(ids):
        raise BatError(f"layout {name}: expected recordings, found none")
    odd, twice = unprintable(ids), repeated(ids)
    if odd is not None:
        raise BatError(f"layout {name}: expected a printable recording id, found {odd!r}")
    if twice is not None:
        raise BatError(f"layout {name}: two recordings have the id {twice!r}")
