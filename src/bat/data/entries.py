"""What the list of a data set says: its entries and its classes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Self

import pandera.polars as pa
import polars as pl

from bat.data.labels import LabelOrder
from bat.data.tables import DISTINCT, EVENTS, all_differ, table_of

ENTRY_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, DISTINCT),
        "part": pa.Column(pl.String),
        "file": pa.Column(pl.String, nullable=True),
        "labels": pa.Column(pl.List(pl.String)),
        "events": pa.Column(EVENTS),
        "transcript": pa.Column(pl.String, nullable=True),
        "origin": pa.Column(pl.String, nullable=True),
    },
    strict=True,
    ordered=True,
    name="entries",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A sound event inside a recording.

    Attributes
    ----------
    label : str
    onset_s, offset_s : float
        Start and end, counted from the start of the recording.
    """

    label: str
    onset_s: float
    offset_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of a data set's own list.

    Attributes
    ----------
    recording_id : str
        Printable, unique in the data set.
    part : str
        What the data set's authors divide it into: "meeting-3", "fold-2", "train", "eval".
    file : str or None
        Name in the source; None where the list names a file that is not there.
    labels : tuple of str
        Classes of the whole recording.
    events : tuple of Event
        Classes of stretches of it.
    transcript : str or None
        What is said, in lower case.
    origin : str or None
        Where the list names it, for messages: "birds.csv, line 7".
    """

    recording_id: str
    part: str
    file: str | None
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    transcript: str | None = None
    origin: str | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """All entries of a data set.

    Attributes
    ----------
    entries : polars.DataFrame
        A row per entry, in the order of the list, with the columns of `ENTRY_SCHEMA`, which are
        those of `Entry`: millions of objects would take gigabytes.
    classes : tuple of str
        In the data set's own order, which is that of class ids; () where entries are transcripts.
    order : str
        Name of that order (see `bat.data.labels`): "audioset/index".
    """

    entries: pl.DataFrame
    classes: tuple[str, ...]
    order: str

    @classmethod
    def of(cls, entries: Iterable[Entry], *, classes: Iterable[str], order: str) -> Self:
        """Make a listing of single entries, as small data sets have them."""
        return cls(entries=entries_table(entries), classes=tuple(classes), order=order)

    @property
    def label_order(self) -> LabelOrder:
        """The classes with the name of their order.

        Raises
        ------
        BatError
            If two classes have one name.
        """
        return LabelOrder(name=self.order, classes=self.classes)


def entries_table(entries: Iterable[Entry]) -> pl.DataFrame:
    """Return the rows of single entries, columns as in `ENTRY_SCHEMA`; it is not yet checked."""
    return table_of((asdict(entry) for entry in entries), ENTRY_SCHEMA)


def unprintable(names: pl.Series) -> str | None:
    """Return the first name that cannot stand in a message, None if all can."""
    # Few names have anything but plain characters; Python alone knows of the others.
    others = names.filter(~names.str.contains(r"^[ -~]*$"))
    return next((name for name in others if not name.isprintable()), None)


def repeated(names: pl.Series) -> str | None:
    """Return the first name that stands there for the second time, None if all differ."""
    if all_differ(names):
        return None
    again: str = names.filter(~names.is_first_distinct())[0]
    return again
