"""The clips of a task as arrays: ids, parts, labels, events, transcripts and splits."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bat.data.entries import Event
from bat.data.labels import LabelOrder
from bat.data.manifest import leak_check, read_manifest
from bat.data.selections import AppliedSet, read_applied
from bat.errors import BatError


@dataclass(frozen=True)
class Clips:
    """Clips of one task in the order of its manifest.

    Attributes
    ----------
    manifest : polars.DataFrame
        The rows.
    order : LabelOrder
        The C classes in the order of their ids.
    applied : AppliedSet or None
        The comparison set that the clips were made with.
    """

    manifest: pl.DataFrame
    order: LabelOrder
    applied: AppliedSet | None = None

    # Made when it is asked for: a gigabyte for two million clips of 527 classes.
    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which classes each clip has, [N, C]."""
        present = np.zeros((self.manifest.height, len(self.classes)), dtype=bool)
        labels = self.manifest.select("labels").with_row_index("clip").explode("labels")
        labels = labels.drop_nulls()
        class_ids = [self._class_ids[label] for label in labels["labels"]]
        present[labels["clip"].to_numpy(), np.array(class_ids, np.int64)] = True
        return present

    @property
    def classes(self) -> list[str]:
        """Names of the C classes in the order of their ids."""
        return list(self.order.classes)

    @property
    def description(self) -> dict[str, Any]:
        """What results say of their clips, as plain values: the classes and the comparison set."""
        return {
            "classes": self.classes,
            "order": self.order.name,
            "comparison_set": None if self.applied is None else asdict(self.applied),
        }

    @property
    def ids(self) -> list[str]:
        """Clip ids [N]."""
        ids: list[str] = self.manifest["clip_id"].to_list()
        return ids

    @property
    def parts(self) -> list[str]:
        """Names of the parts, sorted."""
        return sorted(self.manifest["part"].unique().to_list())

    @property
    def transcripts(self) -> list[str]:
        """What is said in each clip, [N].

        Raises
        ------
        BatError
            If a clip has no transcript.
        """
        without = self.manifest.filter(pl.col("transcript").is_null())
        if without.height:
            raise BatError(
                f"clips: expected a transcript of each, {without.height} have none, "
                f"the first is {without['clip_id'][0]}"
            )
        transcripts: list[str] = self.manifest["transcript"].to_list()
        return transcripts

    def of(self, parts: Collection[str]) -> NDArray[np.int64]:
        """Return the indices of the clips of some parts."""
        return np.flatnonzero(self.manifest["part"].is_in(list(parts)).to_numpy())

    def split(
        self, *, train: Collection[str], validation: Collection[str] = (), test: Collection[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the indices of the training, validation and test clips.

        Parameters
        ----------
        train, validation, test : collection of str
            Names of parts. There may be no validation.

        Raises
        ------
        BatError
            If a part has no clip, train or test names no part, or a recording is on two sides.
        """
        leak_check(self.manifest, train=train, validation=validation, test=test)
        return self.of(train), self.of(validation), self.of(test)

    def events(self, clip: int) -> list[Event]:
        """Return the events of a clip by its index, in seconds from its start."""
        return [Event(**event) for event in self.manifest["events"][clip]]

    def frame_labels(self, frames: int, frame_s: float) -> NDArray[np.bool_]:
        """Return which classes are active in each frame of each clip.

        Frame i stands for the instant i * frame_s; an event is active at t if
        onset <= t < offset. Times are compared in whole nanoseconds, so that an event that begins
        on a frame begins with it, whatever the rounding of the product.

        Parameters
        ----------
        frames : int
            Frames T of a clip.
        frame_s : float

        Returns
        -------
        array of bool, [N, T, C]
        """
        active = np.zeros((self.manifest.height, frames, len(self.classes)), dtype=bool)
        frames_ns = _nanoseconds(np.arange(frames, dtype=np.float64) * frame_s)
        events = self.manifest.select("events").with_row_index("clip").explode("events")
        events = events.drop_nulls().unnest("events")
        first = np.searchsorted(frames_ns, _nanoseconds(events["onset_s"].to_numpy()))
        stop = np.searchsorted(frames_ns, _nanoseconds(events["offset_s"].to_numpy()))
        for clip, label, start, end in zip(
            events["clip"], events["label"], first, stop, strict=True
        ):
            active[clip, start:end, self._class_ids[label]] = True
        return active

    def check_order(self, clip_ids: Sequence[str], origin: Path) -> None:
        """Raise BatError unless a shard holds exactly these clips in this order."""
        if list(clip_ids) != self.ids:
            raise BatError(
                f"{origin}: holds {len(clip_ids)} clips in another order than the manifest's "
                f"{self.manifest.height}"
            )

    @cached_property
    def _class_ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}


def read_clips(path: Path) -> Clips:
    """Read a manifest.

    Raises
    ------
    BatError
        If the file is absent or damaged, breaks the schema, does not name the order of its
        classes, or has a label that is not among them.
    """
    return Clips(*read_manifest(path), read_applied(path))


def _nanoseconds(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(times_s * 1e9).astype(np.int64)
