"""How much data an experiment has: counted where manifests are there, else as published.

Published numbers are the catalogue's; what it does not say stands here, with where it comes from.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from bat.acquisition.catalogue import (
    PublishedDataset,
    known_bytes,
    mirror_of,
    own_files,
    published,
)
from bat.params.data import (
    ClipSet,
    CsvLayout,
    Dataset,
    Mixtures,
    PublishedSource,
    Whole,
    Windows,
)
from bat.workflow import Plan

_PCM_BYTES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Recordings, their total length, and the bytes of their files."""

    recordings: int
    hours: float
    source_bytes: float


# Layouts whose data set has another name in the catalogue.
_ENTRIES = {"dcase2016-task2": "dcase", "birdset": "birdset-hsn"}
# What the catalogue does not say of its data sets, by part and in all.
_PARTS = {
    # 72 in all; the division, 54, 9 and 9, is a guess: the archive's own lists tell it
    "dcase": {"train": 54, "validation": 9, "test": 9},
    # counted: the ledger of the default experiment
    "meetings": {f"meeting-{n}": count for n, count in enumerate((11, 11, 21, 15, 15))},
}
_MEAN_S = {
    # training recordings are of any length, 35 s is a guess; test clips were cut to 5 s
    "birdset-hsn": {"train": 35.0, "test": 5.0},
    # 100.6, 5.4 and 5.4 hours, says the data set's paper, over the catalogue's counts
    "librispeech": {"train-clean-100": 12.7, "dev-clean": 7.2, "test-clean": 7.4},
    # counted: the ledger of the default experiment
    "meetings": {f"meeting-{n}": s for n, s in enumerate((24.0, 19.8, 11.3, 11.3, 18.0))},
}
_SOURCE_BYTES = {
    "esc50": 646e6,  # as others found it, say the catalogue's notes
    "dcase": 820e6,  # a guess: 72 x 120 s at 48 kHz, 16 bits
}
# Where nobody knows: recordings of 10 s, 16 bits at 16 kHz; of a user's own data set, 1,000.
_UNKNOWN_S, _UNKNOWN_BYTES_A_SECOND = 10.0, 32_000.0
_UNKNOWN = Amount(recordings=1_000, hours=10_000 / 3600, source_bytes=10_000 * 32_000.0)


def published_amounts(name: str, mirror: str | None = None) -> dict[str, Amount]:
    """Return what a data set of the catalogue has, by part.

    Parameters
    ----------
    name
        In the catalogue.
    mirror
        One of its copies, which may lack recordings; None takes the first.
    """
    entry, source = published(name), mirror_of(name, mirror)
    counts = _PARTS.get(name) or source.counts or entry.counts or {"all": entry.recordings}
    seconds = {part: count * _mean_s(entry, part) for part, count in counts.items()}
    of_parts = {file.part: file.bytes for file in own_files(source) if file.bytes is not None}
    whole = known_bytes(source) or _SOURCE_BYTES.get(name)
    bytes_a_second = whole / sum(seconds.values()) if whole else _UNKNOWN_BYTES_A_SECOND
    return {
        part: Amount(
            recordings=count,
            hours=seconds[part] / 3600,
            # what lies in one archive is shared out by its length
            source_bytes=of_parts.get(part, seconds[part] * bytes_a_second),
        )
        for part, count in counts.items()
    }


def _mean_s(entry: PublishedDataset, part: str) -> float:
    return _MEAN_S.get(entry.name, {}).get(part) or entry.mean_s or _UNKNOWN_S


class Amounts:
    """The data of one experiment.

    Parameters
    ----------
    plan
        The experiment.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._params = plan.params

    def dataset(self, name: str) -> Amount:
        """Return all that is read of a data set."""
        settings = self._params.datasets[name]
        parts = self._parts(settings)
        return Amount(
            recordings=sum(part.recordings for part in parts.values()),
            hours=sum(part.hours for part in parts.values()),
            source_bytes=sum(part.source_bytes for part in parts.values()),
        )

    def pcm_bytes(self, name: str) -> float:
        """Return the size of a data set's recordings as 16-bit PCM."""
        return self.dataset(name).hours * 3600 * self._params.datasets[name].rate_hz * _PCM_BYTES

    def clips(self, task: str, parts: list[str] | None = None) -> float:
        """Return the number of clips of a task, or of some of its parts."""
        known = self._parts(self._params.datasets[self._params.tasks[task].dataset])
        whole = sum(self._clips_of(task, part) for part in known.values())
        share = 1.0
        if parts is not None and all(part in known for part in parts):
            share = sum(self._clips_of(task, known[part]) for part in parts) / whole
        elif parts is not None:
            share = len(parts) / max(len(parts), len(self._every_part(task)))
        return (self._counted.get(task) or whole) * share

    def clip_s(self, task: str) -> float:
        """Return the length of a task's clips, the mean where they differ, in seconds."""
        settings = self._params.tasks[task]
        if isinstance(settings.clips, Windows | Mixtures):
            return settings.clips.clip_s
        if settings.input.samples is not None:
            return settings.input.samples / self._params.datasets[settings.dataset].rate_hz
        if isinstance(settings.clips, Whole) and settings.clips.chunks is not None:
            return settings.clips.chunks.chunk_s
        amount = self.dataset(settings.dataset)
        return amount.hours * 3600 / amount.recordings

    def guessed(self) -> list[str]:
        """Return the data sets whose size is neither counted nor published."""
        counted = {self._params.tasks[task].dataset for task in self._counted}
        return [
            name
            for name, settings in self._params.datasets.items()
            if isinstance(settings.layout, CsvLayout) and name not in counted
        ]

    @cached_property
    def _counted(self) -> dict[str, int]:
        """Clips of every task whose manifest is there."""
        manifests = {
            task: Path(f"data/manifest/{task}/manifest.parquet") for task in self._params.tasks
        }
        return {
            task: int(pl.scan_parquet(path).select(pl.len()).collect().item())
            for task, path in manifests.items()
            if path.is_file()
        }

    def _parts(self, settings: Dataset) -> dict[str, Amount]:
        if isinstance(settings.layout, CsvLayout):
            return {"all": _UNKNOWN}
        kind, source = settings.layout.kind, settings.source
        amounts = (
            published_amounts(source.name, source.mirror)
            if isinstance(source, PublishedSource)
            else published_amounts(_ENTRIES.get(kind, kind))
        )
        wanted = getattr(settings.layout, "parts", None)
        return {name: part for name, part in amounts.items() if wanted is None or name in wanted}

    def _clips_of(self, task: str, part: Amount) -> float:
        clips = self._params.tasks[task].clips
        if isinstance(clips, Windows):
            return part.hours * 3600 / clips.clip_s
        if isinstance(clips, Mixtures):
            return part.hours * 3600 / clips.clip_s * clips.mixtures_per_clip
        return float(part.recordings)

    def _every_part(self, task: str) -> set[str]:
        settings = self._params.tasks[task]
        if isinstance(settings, ClipSet):
            return set(settings.parts)
        return {
            part
            for fold in self._params.folds(task)
            for part in (*fold.train, *fold.validation, *fold.test)
        }
