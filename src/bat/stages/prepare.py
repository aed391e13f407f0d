"""Make the clips of a task from the recordings of its data set."""

import json
import logging

import polars as pl

from bat.data.ledger import LEDGER_SCHEMA
from bat.data.manifest import mixture_clips, whole_clips, window_clips, write_manifest
from bat.data.shards import PcmStore
from bat.data.tables import read_metadata, read_table
from bat.errors import BatError
from bat.params.data import ClipKind, Whole
from bat.provenance.job import Job
from bat.settings import PrepareSettings

DETERMINISM = "bitwise"
_LOG = logging.getLogger(__name__)


def run(job: Job, settings: PrepareSettings) -> None:
    """Write ``manifest.parquet``: the clips of the parts that the task needs."""
    ledger = read_table(job.path("ledger"), LEDGER_SCHEMA)
    classes = json.loads(read_metadata(job.path("ledger"), "classes"))
    samples_path, index_path = job.paths("pcm")
    clips = _clips(ledger, PcmStore(samples_path, index_path), settings.clips)
    _check_parts(clips, settings.parts)
    clips = clips.filter(pl.col("part").is_in(settings.parts))
    if settings.one_label:
        _check_one_label(clips, job.selection["task"])
    if settings.clips.kind == "windows":
        _report_without(ledger.filter(pl.col("part").is_in(settings.parts)), clips)
    _LOG.info("%s: %d clips", job.selection["task"], clips.height)
    write_manifest(job.output("manifest.parquet"), clips, classes)


def _clips(ledger: pl.DataFrame, store: PcmStore, kind: ClipKind) -> pl.DataFrame:
    if isinstance(kind, Whole):
        if kind.chunks is None:
            return whole_clips(ledger, store)
        return whole_clips(
            ledger,
            store,
            chunks=kind.chunks.into,
            chunked_part=kind.chunks.part,
            chunk_s=kind.chunks.chunk_s,
        )
    windows = window_clips(ledger, store, clip_s=kind.clip_s, minimum_rms=kind.minimum_rms)
    if kind.kind == "windows":
        return windows
    return mixture_clips(windows, **kind.model_dump(exclude={"kind", "clip_s", "minimum_rms"}))


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
