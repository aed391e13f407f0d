"""Speech Commands v0.02: single spoken words of 1 s, and long recordings of noise.

::

    <word>/<speaker>_nohash_<repetition>.wav    WAV, 16 kHz, mono; 35 words
    _background_noise_/<name>.wav               about a minute each
    validation_list.txt, testing_list.txt       a path like right/a69b9b3e_nohash_0.wav per line

Published at https://download.tensorflow.org/data/speech_commands_v0.02.tar.gz (Warden, 2018).
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from bat.data.entries import Entry, Listing
from bat.data.layouts.lists import read_lines, root_of
from bat.data.sources import Source
from bat.errors import BatError

_COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_OTHER_WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "eight", "five", "follow", "forward", "four"),
    *("happy", "house", "learn", "marvin", "nine", "one", "seven", "sheila", "six", "three"),
    *("tree", "two", "visual", "wow", "zero"),
)
_NOISE = "_background_noise_"
_CLASSES = (*_COMMANDS, "unknown", "silence")
_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def read(source: Source) -> Listing:
    """List the recordings in the 12 classes of the task: ten commands, "unknown" and "silence".

    The other 25 words are "unknown". A word's part is "validation" or "test" where the lists say
    so, otherwise "train". The recordings of noise are "silence" in a part of their own,
    "background": they have yet to be cut into clips of 1 s.

    Raises
    ------
    BatError
        If a list is absent or names anything but a word's WAV file, a file is in both lists, or
        there is a folder of another word.
    """
    root = root_of(source, _LISTS["test"])
    part_of = _listed_parts(source, root)
    present = set(_wav_files(source, root))
    entries = [
        Entry(
            recording_id=path.removesuffix(".wav"),
            part="background" if _word(path) == _NOISE else part_of.get(path, "train"),
            file=root + path if path in present else None,
            labels=(_class_of(path),),
        )
        for path in sorted(present | part_of.keys())
    ]
    return Listing.of(entries, classes=_CLASSES, order="speech-commands/12")


def _listed_parts(source: Source, root: str) -> dict[str, str]:
    part_of: dict[str, str] = {}
    for part, name in _LISTS.items():
        for row in read_lines(source, root + name):
            path = row["text"]
            if not _is_wav(path) or _word(path) not in {*_COMMANDS, *_OTHER_WORDS}:
                raise row.error(f"expected a path like yes/0a7c2a8d_nohash_0.wav, found {path!r}")
            if path in part_of:
                raise row.error(f"{path} is also in {_LISTS[part_of[path]]}")
            part_of[path] = part
    return part_of


def _wav_files(source: Source, root: str) -> Iterator[str]:
    for name in source.names:
        path = name.removeprefix(root)
        if name.startswith(root) and _is_wav(path):
            yield path


def _is_wav(path: str) -> bool:
    return path.endswith(".wav") and len(PurePosixPath(path).parts) == 2


def _word(path: str) -> str:
    return PurePosixPath(path).parts[0]


def _class_of(path: str) -> str:
    word = _word(path)
    if word in _COMMANDS:
        return word
    if word in _OTHER_WORDS:
        return "unknown"
    if word == _NOISE:
        return "silence"
    raise BatError(f"speech-commands: expected folders of the 35 words, found {word!r}")
