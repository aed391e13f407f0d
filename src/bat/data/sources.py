"""Source files of a data set, under anonymous names.

The embedded data set is a zip archive of meetings, each a folder of speakers, each a folder of
recordings. Its folder names are people and places; they are read here and go no further.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bat.data.archive import open_archive
from bat.errors import BatError

_SAFE_STEM = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a data set as it came.

    Attributes
    ----------
    recording_id : str
        Anonymous, printable and unique: "meeting-0/speaker-3/1388749-1391854".
    meeting, speaker : str
        Anonymous labels.
    content : bytes or None
        The file; None where a data set's list names a file that is not there.
    archive_sha256 : str
        Hash of the archive that the file was read from, the inner one of a nested archive.
    """

    recording_id: str
    meeting: str
    speaker: str
    content: bytes | None
    archive_sha256: str


def recordings(archive: Path, *, inner: str | None = None) -> Iterator[SourceFile]:
    """Read the files of an archive of the layout meeting/speaker/file, one after the other.

    Meetings and speakers are numbered in the sorted order of their folder names; a speaker has
    one number in all meetings. Every file appears, whatever its name and content, except hidden
    ones. A file's own name is kept only where it consists of letters, digits, "_", "." and "-";
    otherwise it is replaced by a hash.

    Parameters
    ----------
    archive : Path
        A zip archive or a wheel.
    inner : str, optional
        Name of the zip archive inside it.

    Yields
    ------
    SourceFile
        In the order of meeting, speaker and file name.

    Raises
    ------
    BatError
        If the archive is refused (see `bat.data.archive`), or a file lies elsewhere than in
        meeting/speaker/.
    """
    with open_archive(archive, inner=inner) as opened:
        paths = [PurePosixPath(name) for name in opened.names if not _hidden(name)]
        if any(len(path.parts) != 3 for path in paths):
            raise BatError(f"{archive.name}: expected every file at meeting/speaker/file")
        meetings = _numbered("meeting", [path.parts[0] for path in paths])
        speakers = _numbered("speaker", [path.parts[1] for path in paths])
        names = _anonymous_names(paths)
        for path in sorted(paths, key=lambda path: path.parts):
            meeting, speaker = meetings[path.parts[0]], speakers[path.parts[1]]
            yield SourceFile(
                recording_id=f"{meeting}/{speaker}/{names[path]}",
                meeting=meeting,
                speaker=speaker,
                content=opened.read(str(path)),
                archive_sha256=opened.sha256,
            )


def _hidden(name: str) -> bool:
    """Tell whether an operating system left the file there."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


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
