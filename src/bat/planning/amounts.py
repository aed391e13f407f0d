"""How much data an experiment has: counted where manifests are there, else as published."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from bat.params.data import ClipSet, CsvLayout, Dataset, Mixtures, Whole, Windows
from bat.workflow import Plan

_PCM_BYTES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Recordings, their total length, and the bytes of their files."""

    recordings: int
    hours: float
    source_bytes: float


def _clips(recordings: int, seconds: float, source_bytes: float) -> Amount:
    return Amount(
        recordings=recordings, hours=recordings * seconds / 3600, source_bytes=source_bytes
    )


# Of each part, as its publishers or the copies that the paper used say; AudioSet is the paper's
# copy. Mean lengths of HSN's training recordings and of LibriSpeech's utterances are rough.
_MB = 1e6
PUBLISHED: dict[str, dict[str, Amount]] = {
    "audioset": {
        "unbalanced_train": _clips(1_912_024, 10, 1.18e12),
        "balanced_train": _clips(20_550, 10, 12_700 * _MB),
        "eval": _clips(18_886, 10, 11_600 * _MB),
    },
    "esc50": {f"fold-{fold}": _clips(400, 5, 176 * _MB) for fold in range(1, 6)},
    "speech-commands": {
        "train": _clips(84_843, 1, 2_700 * _MB),
        "validation": _clips(9_981, 1, 320 * _MB),
        "test": _clips(11_005, 1, 350 * _MB),
    },
    "dcase2016-task2": {
        "train": _clips(54, 120, 620 * _MB),
        "validation": _clips(9, 120, 100 * _MB),
        "test": _clips(9, 120, 100 * _MB),
    },
    "birdset": {
        "train": _clips(5_460, 35, 2_500 * _MB),
        "test": _clips(12_000, 5, 1_000 * _MB),
    },
    "librispeech": {
        "train-clean-100": _clips(28_539, 12.7, 6_400 * _MB),
        "dev-clean": _clips(2_703, 7.2, 340 * _MB),
        "test-clean": _clips(2_620, 7.4, 350 * _MB),
    },
    "meetings": {f"meeting-{n}": _clips(15, 15.9, 7.8 * _MB) for n in range(5)},
}
# Of a user's own data set, whose recordings nobody has counted yet.
_UNKNOWN = _clips(1_000, 10, 320 * _MB)


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
        published = PUBLISHED.get(settings.layout.kind, {"all": _UNKNOWN})
        wanted = getattr(settings.layout, "parts", None)
        return {name: part for name, part in published.items() if wanted is None or name in wanted}

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
