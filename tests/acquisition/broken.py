"""A made AudioSet of 300 clips, 40 of which are broken, each way of the ledger's statuses."""

import io
import wave

import numpy as np
import soundfile

from acquisition.world import zipped

RATE_HZ = 16_000
CLIPS = {"balanced_train": 100, "eval": 200}
# How many clips of each status, by the way in which they come to it.
BROKEN = {
    ("missing", "in no archive, and YouTube does not answer"): 6,
    ("private", "in no archive, and private on YouTube"): 4,
    ("removed", "in no archive, and gone from YouTube"): 5,
    ("corrupt", "cut short"): 2,
    ("corrupt", "no audio"): 2,
    ("corrupt", "a flipped bit in the archive"): 2,
    ("empty", "no bytes"): 3,
    ("empty", "a header and no samples"): 2,
    ("short", "a fifth of a second"): 4,
    ("silent", "nothing but zeros"): 3,
    ("excluded", "by the parameters"): 3,
    ("duplicate", "the bytes of another clip"): 2,
    ("duplicate", "the samples of another clip"): 2,
}
_LABELS = ("Speech", "Rain", "Drum")


class BrokenAudioSet:
    """Lists, archives and what YouTube says; `status_of` tells what the ledger should say."""

    def __init__(self):
        ids = [f"{part[:2]}{number:09d}" for part, n in CLIPS.items() for number in range(n)]
        parts = [part for part, count in CLIPS.items() for _ in range(count)]
        self.part_of = dict(zip(ids, parts, strict=True))
        # every seventh clip, so that both parts and all archives have some
        ways = [way for way, count in BROKEN.items() for _ in range(count)]
        broken = [ids[7 * number + 1] for number in range(len(ways))]
        self.way_of = dict(zip(broken, ways, strict=True))
        self.status_of = {clip: self.way_of.get(clip, ("ok",))[0] for clip in ids}
        self.ids = ids
        self.files = self._files()

    def _files(self):
        whole = [clip for clip in self.ids if clip not in self.way_of]
        files = {}
        for number, clip in enumerate(self.ids):
            status, how = self.way_of.get(clip, ("ok", ""))
            if how.startswith("in no archive"):
                continue
            content = wav(number)
            if how == "cut short":
                content = content[: len(content) // 2]
            elif how == "no audio":
                content = f"<html>{clip} not found</html>".encode() * 40
            elif how == "no bytes":
                content = b""
            elif how == "a header and no samples":
                content = wav(number, seconds=0)
            elif status == "short":
                content = wav(number, seconds=0.2)
            elif status == "silent":
                # of different lengths: the same bytes would be duplicates
                content = wav(None, seconds=1 + number / 1000)
            elif how == "the bytes of another clip":
                content = wav(self.ids.index(whole[0]))
            elif how == "the samples of another clip":
                content = flac_of(wav(self.ids.index(whole[1])))
            files[clip] = content
        return files

    def lists(self):
        labels = [f'{i},/m/{i:04d},"{name}"' for i, name in enumerate(_LABELS)]
        written = {"class_labels_indices.csv": ["index,mid,display_name", *labels]}
        for part in CLIPS:
            lines = ["# Segments csv", "# num", "# YTID, start_seconds, end_seconds, positive"]
            for number, clip in enumerate(self.ids):
                if self.part_of[clip] == part:
                    lines.append(f'{clip}, 30.000, 31.000, "/m/{number % 3:04d}"')
            written[f"{part}_segments.csv"] = lines
        return {
            name: "".join(f"{line}\n" for line in lines).encode() for name, lines in written.items()
        }

    def archives(self):
        """Two zip archives of one part, and two of the other."""
        folders = {"balanced_train": "balanced", "eval": "eval"}
        packed = {}
        for part, folder in folders.items():
            clips = [clip for clip in self.files if self.part_of[clip] == part]
            for number in range(2):
                some = {self._name(clip): self.files[clip] for clip in clips[number::2]}
                packed[f"{folder}/{folder}_{number:02d}.zip"] = self._with_flips(zipped(some))
        return packed

    def _name(self, clip):
        flac = self.files[clip].startswith(b"fLaC")
        return f"{clip}.flac" if flac else f"Y{clip}.wav"

    def _with_flips(self, archive):
        """Flip a bit in the stored content of some members; the checksum tells."""
        flipped = bytearray(archive)
        for clip, (_, how) in self.way_of.items():
            name = f"Y{clip}.wav".encode()
            at = archive.find(name)
            if how == "a flipped bit in the archive" and at >= 0:
                flipped[at + len(name) + 200] ^= 4
        return bytes(flipped)

    def excluded(self):
        return {clip: "known to be bad" for clip in self.ids if self.status_of[clip] == "excluded"}

    def youtube(self):
        """Status and reason of YouTube's answer for each clip that no archive has."""
        answers = {"missing": (503, "Busy"), "removed": (410, "Gone")}
        answers["private"] = (403, "Private video. Sign in if you've been granted access")
        return {
            clip: answers[status]
            for clip, (status, how) in self.way_of.items()
            if how.startswith("in no archive")
        }


def wav(seed, *, seconds=1.0):
    """Noise of its own for every seed; None is silence."""
    file = io.BytesIO()
    samples = round(seconds * RATE_HZ)
    noise = np.random.default_rng(seed or 0).integers(-8000, 8000, samples).astype("<i2")
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        writer.writeframes(bytes(2 * samples) if seed is None else noise.tobytes())
    return file.getvalue()


def flac_of(content):
    samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
