"""Recordings of meetings, a folder per meeting and speaker: the embedded data set.

::

    <meeting>/<speaker>/<recording>.wav

So is the archive laid out that the Python package speakerbox (PyPI, version 1.2.0) carries in its
wheel. Folder names are places and people; they are read here and go no further.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.sources import Source
from bat.errors import BatError

_SAFE_STEM = re.compile(r"[\w.-]+", re.ASCII)


def read(source: Source) -> Listing:
    """List the recordings under anonymous names: "meeting-0/speaker-3/1388749-1391854".

    Meetings and speakers are numbered in the sorted order of their folder names; a speaker has
    one number in all meetings. Every file appears, whatever its name and content. A file's own
    name is kept only where it consists of letters, digits, "_", "." and "-"; otherwise it is
    replaced by a hash. The parts are the meetings, the classes are the speakers, sorted by label.

    Raises
    ------
    BatError
        If a file lies elsewhere than in meeting/speaker/.
    """
    paths = [PurePosixPath(name) for name in source.names]
    if any(len(path.parts) != 3 for path in paths):
        raise BatError("meetings: expected every file at meeting/speaker/file")
    meetings = _numbered("meeting", [path.parts[0] for path in paths])
    speakers = _numbered("speaker", [path.parts[1] for path in paths])
    names = _anonymous_names(paths)
    entries = []
    for path in sorted(paths, key=lambda path: path.parts):
        meeting, speaker = meetings[path.parts[0]], speakers[path.parts[1]]
        entry = Entry(
            recording_id=f"{meeting}/{speaker}/{names[path]}",
            part=meeting,
            file=str(path),
            labels=(speaker,),
        )
        entries.append(entry)
    return Listing.of(entries, classes=tuple(sorted(speakers.values())), order="meetings/number")


def _numbered(kind: str, folders: Sequence[str]) -> dict[str, str]:
    return {folder: f"{kind}-{number}" for number, folder in enumerate(sorted(set(folders)))}


def _anonymous_names(paths: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Name every file by its stem where that is safe and unique in its folder, else by a hash."""
    stems = Counter(path.with_suffix("") for path in paths)
    return {
        path: path.stem
        if _SAFE_STEM.fullmatch(path.stem) and stems[path.with_suffix("")] == 1
        else f"file-{hashlib.sha256(path.name.encode()).hexdigest()[:12]}"
        for path in paths
    }
