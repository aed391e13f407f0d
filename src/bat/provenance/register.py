"""The register of records: which job recorded what, in the order in which it happened.

A recipe vouches for its outputs, but nothing in it tells that it was not written anew, outputs and
all, after the job. So every job that publishes also adds an entry to the register of the working
folder, and every entry names the SHA-256 of the one before it: nobody can change, drop, insert or
reorder entries without changing all that follow, and so the newest, whose hash may long have been
published elsewhere. `bat.audit.register` checks it.

One entry is one small file, made by a link that only one process can make, so that jobs of many
machines add to it at once without a lock. A job that loses the race for a number takes the next.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bat.durable import flush
from bat.provenance.hashing import canonical_json

REGISTER = Path("results/register")
# What the first entry follows.
ORIGIN = sha256(b"bat: register of records").hexdigest()
_NAME = re.compile(r"(\d{6}|[1-9]\d{6,})\.json")
_DRAFT = ".draft-"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Record(BaseModel):
    """What a job left in a folder; who and where it was stands in the run log.

    Attributes
    ----------
    folder
        Relative to the working folder.
    stage
        Name of the stage.
    recipe
        Id of the recipe, the SHA-256 of ``recipe.json``.
    run_log
        SHA-256 of ``run.json``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    folder: str
    stage: str
    recipe: Sha256
    run_log: Sha256


class Entry(Record):
    """One entry of the register.

    Attributes
    ----------
    format
        Version of this description.
    number
        1 for the first; as in the file's name.
    previous
        SHA-256 of the bytes of the entry before it; `ORIGIN` for the first.
    recorded
        When, to the second. Clocks of machines differ: never before the previous entry.
    """

    format: Literal[1] = 1
    number: int = Field(ge=1)
    previous: Sha256
    recorded: AwareDatetime

    def text(self) -> str:
        """Return the bytes of the entry's file as text."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read an entry from the bytes of its file.

        Raises
        ------
        ValueError
            Where they are not, to the byte, what `text` gives.
        """
        entry = cls.model_validate_json(content)
        if entry.text().encode() != content:
            raise ValueError("its text is not the canonical text of its content")
        return entry


def entry_name(number: int) -> str:
    """Return the name of an entry's file."""
    return f"{number:06d}.json"


def entry_number(name: str) -> int | None:
    """Return the number of the entry that a file holds by its name; None if it is no entry."""
    match = _NAME.fullmatch(name)
    return int(match[1]) or None if match else None


def newest_number(register: Path) -> int:
    """Return the highest number of an entry in a register; 0 where there is none."""
    return max((entry_number(path.name) or 0 for path in register.iterdir()), default=0)


def is_draft(name: str) -> bool:
    """Tell whether a file is one that a killed job left, or a running one will link."""
    return name.startswith(_DRAFT)


def folder_in_register(folder: Path) -> str | None:
    """Return how the register names a folder; None where it is not below the working folder."""
    relative = Path(os.path.relpath(folder))
    return None if ".." in relative.parts else relative.as_posix()


@contextmanager
def draft_entry(
    record: Record, *, finished: datetime, register: Path = REGISTER
) -> Iterator["Draft"]:
    """Write an entry that only needs its number, so that a full disk is found out about early.

    Parameters
    ----------
    record
        What is to be registered.
    finished
        When its job finished, by the run log; no entry is of an earlier time.
    register
        Folder of the register; made where it is missing.

    Raises
    ------
    OSError
        Where the disk is full, or nobody may write there.
    """
    register.mkdir(parents=True, exist_ok=True)
    draft = Draft(record, finished, register)
    try:
        draft.write(newest_number(register))
        yield draft
    finally:
        draft.remove()


class Draft:
    """An entry on its way into the register."""

    def __init__(self, record: Record, finished: datetime, register: Path) -> None:
        self._record = record
        self._finished = finished
        self._register = register
        self._path = register / f"{_DRAFT}{uuid.uuid4().hex}"

    def append(self) -> Entry:
        """Make it the newest entry, on the disk when this returns."""
        for newest in count(newest_number(self._register)):
            entry = self.write(newest)
            if self._link(self._register / entry_name(entry.number)):
                break
        flush(self._register)
        return entry

    def write(self, newest: int) -> Entry:
        """Write the entry that would follow the one of number ``newest`` (0 for none)."""
        previous, recorded = _end(self._register, newest)
        entry = Entry(
            **self._record.model_dump(),
            number=newest + 1,
            previous=previous,
            recorded=max(datetime.now(UTC).replace(microsecond=0), self._finished, recorded),
        )
        self._path.write_text(entry.text(), encoding="utf-8")
        flush(self._path)
        return entry

    def remove(self) -> None:
        """Remove the draft; a link to it remains."""
        self._path.unlink(missing_ok=True)

    def _link(self, entry: Path) -> bool:
        """Link the draft, unless another was faster."""
        try:
            # exclusive on network file systems too, unlike opening with O_EXCL on old ones
            os.link(self._path, entry)
        except FileExistsError:
            # a network file system that asked its server twice complains of its own success
            return self._path.samefile(entry)
        return True


def _end(register: Path, newest: int) -> tuple[str, datetime]:
    """Return what the entry after number ``newest`` names as previous, and its earliest time."""
    if newest == 0:
        return ORIGIN, _LONG_AGO
    content = (register / entry_name(newest)).read_bytes()
    try:
        recorded = Entry.parse(content).recorded
    except ValueError:
        # A damaged entry is for the audit to find. A job of days is not thrown away for it.
        recorded = _LONG_AGO
    return sha256(content).hexdigest(), recorded
