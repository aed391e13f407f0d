"""The chain of the register's entries, and what may be wrong with it by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from bat.errors import BatError
from bat.provenance.register import (
    ORIGIN,
    REGISTER,
    Entry,
    entry_number,
    is_draft,
    newest_number,
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that does not fit.

    Attributes
    ----------
    what
        In words.
    entry
        Number of the entry that it is about.
    folder
        Folder of the record that it is about.
    """

    what: str
    entry: int | None = None
    folder: str | None = None

    def __str__(self) -> str:
        about = [self.folder, f"entry {self.entry}" if self.entry is not None else None]
        return ": ".join([*filter(None, about), self.what])


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The register as it lies on the disk.

    Attributes
    ----------
    contents
        Bytes of every entry by number, in order.
    strangers
        Names of files that are no entries.
    """

    contents: dict[int, bytes]
    strangers: list[str]

    @classmethod
    def read(cls, register: Path = REGISTER) -> "Chain":
        """Read the register; jobs may add to it meanwhile.

        Raises
        ------
        BatError
            Where there is none.
        """
        newest = newest_number(register) if register.is_dir() else 0
        if not newest:
            raise BatError(
                f"{register}: no register of records here, so nothing was verified: jobs write it "
                "when they run; results from elsewhere need theirs beside them"
            )
        # A listing may have an entry, but miss the one before, which was added during it: so this
        # second one is not read further than the first one reached.
        paths = {path: entry_number(path.name) for path in register.iterdir()}
        contents = {n: path.read_bytes() for path, n in paths.items() if n and n <= newest}
        strangers = [path.name for path, n in paths.items() if not n and not is_draft(path.name)]
        return cls(contents=dict(sorted(contents.items())), strangers=sorted(strangers))

    @cached_property
    def entries(self) -> dict[int, Entry]:
        """Entries that can be read, by number, in order."""
        entries = {}
        for number, content in self.contents.items():
            try:
                entries[number] = Entry.parse(content)
            except ValueError:
                continue
        return entries

    @property
    def newest(self) -> int:
        """Number of the newest entry."""
        return max(self.contents)

    @cached_property
    def by_folder(self) -> dict[str, Entry]:
        """The newest entry of every folder: of several runs, the one whose files lie there."""
        return {entry.folder: entry for entry in self.entries.values()}

    @cached_property
    def first_of_recipe(self) -> dict[str, int]:
        """Number of the first entry of every recipe."""
        first: dict[str, int] = {}
        for number, entry in self.entries.items():
            first.setdefault(entry.recipe, number)
        return first

    def sha256(self, number: int) -> str:
        """Return the hash by which others name an entry."""
        return sha256(self.contents[number]).hexdigest()

    def problems(self) -> list[Problem]:
        """Return what is wrong with the entries, apart from what lies in the folders."""
        strange = [Problem(what=f"{name} is no entry, put there") for name in self.strangers]
        return [*strange, *self._gaps(), *self._damages(), *self._links(), *self._doubles()]

    def _gaps(self) -> Iterator[Problem]:
        for before, number in pairwise([0, *self.contents]):
            if number > before + 1:
                others = f", and all up to entry {number - 1}" if number > before + 2 else ""
                yield Problem(entry=before + 1, what=f"deleted{others}")

    def _damages(self) -> Iterator[Problem]:
        for number in self.contents:
            entry = self.entries.get(number)
            if entry is None:
                yield Problem(entry=number, what="edited: not as a job writes an entry")
            elif entry.number != number:
                yield Problem(entry=number, what=f"entry {entry.number} was put in its place")

    def _links(self) -> Iterator[Problem]:
        for number, entry in self.entries.items():
            before = number - 1
            if before and before not in self.contents:
                continue
            if entry.previous != (self.sha256(before) if before else ORIGIN):
                it = f"entry {before}" if before else "the beginning"
                what = f"does not follow {it} as found: one was edited, moved or inserted"
                yield Problem(entry=number, what=what)
            if before in self.entries and entry.recorded < self.entries[before].recorded:
                yield Problem(entry=number, what=f"back-dated: earlier than entry {before}")

    def _doubles(self) -> Iterator[Problem]:
        seen: dict[tuple[str, str, str], int] = {}
        for number, entry in self.entries.items():
            first = seen.setdefault((entry.folder, entry.recipe, entry.run_log), number)
            if first != number:
                yield Problem(entry=number, what=f"a duplicate: records the run of entry {first}")
