"""The clips of a task as arrays: ids, meetings, labels, and the split of a fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bat.data.manifest import MANIFEST_SCHEMA, leak_check
from bat.data.tables import read_table
from bat.errors import BatError


@dataclass(frozen=True)
class Clips:
    """Clips of one task in the order of its manifest.

    Attributes
    ----------
    manifest : polars.DataFrame
        The rows.
    classes : list of str
        Names of the C classes, sorted.
    present : array of bool [N, C]
        Which classes each clip has.
    """

    manifest: pl.DataFrame
    classes: list[str]
    present: NDArray[np.bool_]

    @property
    def ids(self) -> list[str]:
        """Clip ids [N]."""
        ids: list[str] = self.manifest["clip_id"].to_list()
        return ids

    def of(self, meetings: list[str]) -> NDArray[np.int64]:
        """Return the indices of the clips of some meetings."""
        return np.flatnonzero(self.manifest["meeting"].is_in(meetings).to_numpy())

    def split(self, fold: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the training and test clips of a fold: everything but one meeting, and it.

        Raises
        ------
        BatError
            If a side is empty or a recording is on both sides.
        """
        others = [meeting for meeting in self.meetings if meeting != fold]
        leak_check(self.manifest, train_meetings=others, test_meetings=[fold])
        return self.of(others), self.of([fold])

    @property
    def meetings(self) -> list[str]:
        """Names of the meetings, sorted."""
        return sorted(self.manifest["meeting"].unique().to_list())

    def check_order(self, clip_ids: tuple[str, ...], origin: Path) -> None:
        """Raise BatError unless a shard holds exactly these clips in this order."""
        if list(clip_ids) != self.ids:
            raise BatError(
                f"{origin}: holds {len(clip_ids)} clips in another order than the manifest's "
                f"{len(self.ids)}"
            )


def read_clips(path: Path) -> Clips:
    """Read a manifest.

    Raises
    ------
    BatError
        If the file is absent, damaged or breaks the schema.
    """
    manifest = read_table(path, MANIFEST_SCHEMA)
    labels = manifest["labels"].to_list()
    classes = sorted({label for of_clip in labels for label in of_clip})
    present = np.array([[name in of_clip for name in classes] for of_clip in labels], dtype=bool)
    return Clips(manifest, classes, present)
