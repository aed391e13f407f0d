"""LibriSpeech: read English speech with transcripts.

::

    LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt
    LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac    16 kHz

A line of a transcript file is the name of an utterance, a space, and what is said, in upper case.
Published at https://www.openslr.org/12 (Panayotov et al., 2015), an archive per subset.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import read_lines
from bat.data.sources import Source
from bat.errors import BatError

_PARTS = ("train-clean-100", "dev-clean", "test-clean")
_TRANSCRIPTS = ".trans.txt"


def read(source: Source, *, parts: Sequence[str] = _PARTS) -> Listing:
    """List the utterances of some subsets, which are the parts, with transcripts in lower case.

    Raises
    ------
    BatError
        If a subset is absent, a line of a transcript file is wrong or stands there twice, or a
        recording has no transcript.
    """
    if not parts:
        raise BatError("librispeech: expected the name of a subset or more in parts")
    entries = [entry for part in parts for entry in _utterances(source, part)]
    return Listing.of(entries, classes=(), order="librispeech/none")


def _utterances(source: Source, part: str) -> Iterator[Entry]:
    names = [name for name in source.names if f"/{part}/" in f"/{name}"]
    transcripts = [name for name in names if name.endswith(_TRANSCRIPTS)]
    if not transcripts:
        raise BatError(f"librispeech: expected transcripts of the subset {part!r}, found none")
    recordings = {name for name in names if name.endswith(".flac")}
    found = set()
    for name in transcripts:
        for entry in _chapter(source, name, part, recordings):
            found.add(entry.file)
            yield entry
    without = sorted(recordings - found)
    if without:
        raise BatError(f"{without[0]}: expected a transcript beside it")


def _chapter(source: Source, name: str, part: str, recordings: set[str]) -> Iterator[Entry]:
    chapter = PurePosixPath(name)
    prefix = chapter.name.removesuffix(_TRANSCRIPTS)
    lines: dict[str, int] = {}
    for row in read_lines(source, name):
        utterance, _, transcript = row["text"].partition(" ")
        if not utterance.startswith(f"{prefix}-") or not transcript.strip():
            raise row.error(f"expected {prefix}-<number> and a transcript, found {row['text']!r}")
        if utterance in lines:
            raise row.error(f"{utterance} is already in line {lines[utterance]}")
        lines[utterance] = row.line
        file = str(chapter.with_name(f"{utterance}.flac"))
        yield Entry(
            recording_id=utterance,
            part=part,
            file=file if file in recordings else None,
            transcript=transcript.strip().lower(),
        )
