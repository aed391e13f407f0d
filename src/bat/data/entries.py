"""What the list of a data set says: its entries and its classes."""

from dataclasses import dataclass, field


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


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All entries of a data set.

    Attributes
    ----------
    entries : list of Entry
    classes : tuple of str
        In the data set's own order, which is that of class ids; () where entries are transcripts.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
