"""Make the clips of a task from the recordings of its data set."""

import logging
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bat.data.labels import read_order
from bat.data.ledger import LEDGER_SCHEMA
from bat.data.manifest import mixture_clips, whole_clips, window_clips, write_manifest
from bat.data.pcm_store import PCM_INDEX_SCHEMA, PcmStore
from bat.data.selections import AppliedSet, read_selection, restrict, restrict_clips
from bat.data.tables import read_table
from bat.errors import BatError
from bat.params.data import ClipKind, Only, Whole
from bat.provenance.job import Job
from bat.settings import PrepareSettings

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)
# What clips are made of; the hashes of two million recordings take a quarter of a gigabyte.
OF_CLIPS = ("recording_id", "part", "labels", "events", "transcript", "status")


def run(job: Job, settings: PrepareSettings) -> None:
    """Write ``manifest.parquet``: the clips of the parts that the task needs."""
    ledger = read_table(job.path("ledger"), LEDGER_SCHEMA).select(*OF_CLIPS)
    order = read_order(job.path("ledger"))
    *samples, index_path = job.paths("pcm")
    # Whole recordings are clips by their lengths alone; others must be listened to.
    store = PcmStore(samples[0], index_path) if samples else None
    index = read_table(index_path, PCM_INDEX_SCHEMA) if store is None else store.index

    def clips_of(ledger: pl.DataFrame) -> pl.DataFrame:
        return _clips(ledger, index, store, settings.clips)

    if settings.only is None:
        clips, applied = clips_of(ledger), None
    else:
        ledger, clips, applied = _clips_of_set(ledger, clips_of, settings.only)
    _check_parts(clips, settings.parts)
    clips = clips.filter(pl.col("part").is_in(settings.parts))
    if settings.one_label:
        _check_one_label(clips, job.selection["task"])
    if settings.clips.kind == "windows":
        _report_without(ledger.filter(pl.col("part").is_in(settings.parts)), clips)
    _LOG.info("%s: %d clips", job.selection["task"], clips.height)
    write_manifest(job.output("manifest.parquet"), clips, order, applied=applied)


def _clips(
    ledger: pl.DataFrame, index: pl.DataFrame, store: PcmStore | None, kind: ClipKind
) -> pl.DataFrame:
    if isinstance(kind, Whole):
        if kind.chunks is None:
            return whole_clips(ledger, index)
        return whole_clips(
            ledger,
            index,
            chunks=kind.chunks.into,
            chunked_part=kind.chunks.part,
            chunk_s=kind.chunks.chunk_s,
        )
    if store is None:
        raise BatError(f"clips of kind {kind.kind} are cut from samples; give --pcm pcm.npy, too")
    windows = window_clips(ledger, store, clip_s=kind.clip_s, minimum_rms=kind.minimum_rms)
    if kind.kind == "windows":
        return windows
    return mixture_clips(windows, **kind.model_dump(exclude={"kind", "clip_s", "minimum_rms"}))


def _clips_of_set(
    ledger: pl.DataFrame, clips_of: Callable[[pl.DataFrame], pl.DataFrame], only: Only
) -> tuple[pl.DataFrame, pl.DataFrame, AppliedSet]:
    """Make clips of what a comparison set names; return what it leaves of the ledger, too."""
    chosen = read_selection(Path(only.path), sha256=only.sha256)
    if chosen.name != only.name:
        raise BatError(f"{only.path}: expected the set {only.name}, found {chosen.name}")
    # Before clips are made: mixtures are drawn from these recordings and from no others.
    left, applied = restrict(ledger, chosen, sha256=only.sha256, parts=only.parts)
    _LOG.info(
        "comparison set %s: of %d recordings %d are usable, %d are not, %d are of other parts",
        applied, applied.named, applied.usable, applied.unusable, applied.elsewhere,
    )  # fmt: skip
    # And after: the pieces of a recording may be in other parts than the recording.
    return left, restrict_clips(clips_of(left), chosen, parts=only.parts), applied


def _report_without(ledger: pl.DataFrame, clips: pl.DataFrame) -> None:
    """Say which recordings are shorter than a window, or too quiet for one."""
    usable = ledger.filter(pl.col("status") == "ok")["recording_id"]
    without = usable.filter(~usable.is_in(clips["group"].explode().implode()))
    if len(without):
        _LOG.info("%d of %d recordings give no clip: %s ...", len(without), len(usable), without[0])


def _check_one_label(clips: pl.DataFrame, task: str) -> None:
    others = clips.filter(pl.col("labels").list.len() != 1)
    if others.height:
        labels = ";".join(others["labels"][0]) or "none"
        raise BatError(
            f"{task}: a multi-class task wants one label per clip, {others.height} have more or "
            f"none; the first: {others['clip_id'][0]}: {labels}"
        )


def _check_parts(clips: pl.DataFrame, parts: list[str]) -> None:
    found = clips["part"].unique().sort().to_list()
    missing = [part for part in parts if part not in found]
    if missing:
        raise BatError(
            f"the parameters name the parts {', '.join(missing)}, "
            f"but the usable clips are of {', '.join(found) or 'no part'}"
        )
    unused = [part for part in found if part not in parts]
    if unused:
        _LOG.info("not used by this task: %s", ", ".join(unused))
