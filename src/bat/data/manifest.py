"""Manifests: which clips a task has, and what each is made of.

A clip is one or more components, each a window of a recording with a gain. A clip of one recording
has one component at 0 dB; a mixture has several. Clips exist as rows until `render` makes them
waveforms.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl

from bat.audio.pcm import root_mean_square
from bat.data.labels import LabelOrder, read_order
from bat.data.pcm_store import PcmStore
from bat.data.selections import AppliedSet, applied_metadata
from bat.data.tables import (
    DISTINCT,
    EVENTS,
    check_table,
    make_table,
    read_table,
    rows_of,
    write_table,
)
from bat.errors import BatError

if TYPE_CHECKING:  # who reads a manifest need not wait for torch
    from torch import Tensor

_COMPONENT = pl.Struct(
    {
        "recording_id": pl.String,
        "start_sample": pl.Int64,  # at the rate of the PCM store
        "samples": pl.Int64,
        "gain_db": pl.Float64,
    }
)


def _is_sound(data: pa.PolarsData) -> bool:
    onset_s, offset_s = (pl.element().struct.field(name) for name in ("onset_s", "offset_s"))
    lasting = (onset_s >= 0) & (offset_s >= onset_s) & offset_s.is_finite()
    checked = data.lazyframe.select(
        pl.all_horizontal(
            pl.col("events").list.eval(lasting).list.all(),
            pl.col("group").list.len() > 0,
            pl.col("components").list.len() > 0,
        ).all()
    )
    return bool(checked.collect().item()) and _are_sorted(data.lazyframe)


def _are_sorted(clips: pl.LazyFrame) -> bool:
    """Tell whether the labels of each clip are sorted, and none is there twice."""
    return bool(_in_one_column(clips).select(_IN_ORDER.all()).collect().item())


def _in_one_column(clips: pl.LazyFrame) -> pl.LazyFrame:
    """Return each label with the row of its clip.

    Neighbours are compared there: to sort two million short lists takes half a minute.
    """
    return clips.select("labels").with_row_index("row").explode("labels")


_IN_ORDER = (pl.col("row") != pl.col("row").shift()) | (pl.col("labels") > pl.col("labels").shift())


MANIFEST_SCHEMA = pa.DataFrameSchema(
    {
        "clip_id": pa.Column(pl.String, DISTINCT),
        "part": pa.Column(pl.String),
        # The clip's recordings: none of them may be on both sides of a split.
        "group": pa.Column(pl.List(pl.String)),
        "labels": pa.Column(pl.List(pl.String)),  # sorted; empty where a clip has none
        "events": pa.Column(EVENTS),  # in seconds from the clip's start
        "transcript": pa.Column(pl.String, nullable=True),
        "components": pa.Column(pl.List(_COMPONENT)),
    },
    checks=pa.Check(
        _is_sound,
        error="every clip has a group, a component, sorted labels and events that end after "
        "they begin",
    ),
    strict=True,
    ordered=True,
    name="manifest",
)


_TYPES = {name: column.dtype.type for name, column in MANIFEST_SCHEMA.columns.items()}
_OF_RECORDING = ("recording_id", "part", "labels", "events", "transcript")


def window_clips(
    ledger: pl.DataFrame, store: PcmStore, *, clip_s: float, minimum_rms: float
) -> pl.DataFrame:
    """Cut every usable recording into clips of one length.

    Windows follow each other without overlap from a recording's start; what is left at its end is
    dropped, and so is a window that is nearly silent. A clip has all labels of its recording and
    the stretches of its events that lie inside. It has no transcript, as nobody knows which of the
    words are in it.

    Parameters
    ----------
    ledger : polars.DataFrame
        Rows of `bat.data.ledger.LEDGER_SCHEMA`.
    store : PcmStore
        PCM of the ledger's recordings with status "ok".
    clip_s : float
        Length of a clip.
    minimum_rms : float
        Windows below this RMS, of full scale, are dropped.

    Returns
    -------
    polars.DataFrame
        Rows of `MANIFEST_SCHEMA` in the order of the ledger.

    Raises
    ------
    BatError
        If the store lacks a recording.
    """
    samples = round(clip_s * store.rate_hz)
    return make_table(
        (
            _window(recording, start, samples, store.rate_hz)
            for recording in _usable(ledger)
            for start in _audible_windows(store, recording["recording_id"], samples, minimum_rms)
        ),
        MANIFEST_SCHEMA,
    )


def mixture_clips(
    windows: pl.DataFrame,
    *,
    seed: int,
    mixtures_per_clip: float,
    maximum_speakers: int,
    gain_range_db: float,
) -> pl.DataFrame:
    """Draw mixtures of several speakers, each inside one part.

    Per mixture: the number of speakers is uniform in 1..maximum_speakers (at most those that the
    part has), the speakers are drawn without replacement, each with one of its windows of the
    part and a gain uniform in +-gain_range_db. As no mixture crosses parts, splits by part stay
    clean.

    Parameters
    ----------
    windows : polars.DataFrame
        The result of `window_clips`, to draw from; the one label of each is its speaker.
    seed : int
        Seed; every part has a random stream of its own, keyed by its place in the order of the
        parts, so that a change in one part leaves the mixtures of the others as they are.
    mixtures_per_clip : float
        Mixtures of a part per clip of it, rounded to a whole number of mixtures.
    maximum_speakers : int
    gain_range_db : float

    Returns
    -------
    polars.DataFrame
        Rows of `MANIFEST_SCHEMA`, ordered by part; they have labels, but no events or transcript.

    Raises
    ------
    BatError
        If a window has not exactly one label.
    """
    rows: list[dict[str, Any]] = []
    for index, clips in enumerate(windows.partition_by("part", maintain_order=True)):
        part = clips["part"][0]
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        of_speakers = _windows_by_speaker(clips)
        for number in range(round(mixtures_per_clip * clips.height)):
            drawn = _draw_mixture(generator, of_speakers, maximum_speakers, gain_range_db)
            rows.append(
                {
                    "clip_id": f"{part}/mixture-{number:05d}",
                    "part": part,
                    "group": sorted({component["recording_id"] for component in drawn.values()}),
                    "labels": sorted(drawn),
                    "events": [],
                    "transcript": None,
                    "components": list(drawn.values()),
                }
            )
    return make_table(rows, MANIFEST_SCHEMA)


def whole_clips(
    ledger: pl.DataFrame,
    index: pl.DataFrame,
    *,
    chunks: Mapping[str, float] | None = None,
    chunked_part: str | None = None,
    chunk_s: float = 1.0,
) -> pl.DataFrame:
    """Make every usable recording one clip, of its own name.

    The long recordings of one part may be cut into chunks instead (the background noise of Speech
    Commands, whose chunks are its silence). The chunks of a recording follow each other; its first
    ones go to the first of the parts in `chunks`, as many as its share of them, and so on. A
    recording's chunks in one part are a group of their own: the data set means them to be in
    several parts.

    Parameters
    ----------
    ledger : polars.DataFrame
        Rows of `bat.data.ledger.LEDGER_SCHEMA`.
    index : polars.DataFrame
        Rows of `bat.data.pcm_store.PCM_INDEX_SCHEMA` with the ledger's recordings of status "ok".
    chunks : mapping of part to share, optional
        Where the chunks go: {"train": 0.8, "validation": 0.1, "test": 0.1}.
    chunked_part : str, optional
        The part whose recordings are cut.
    chunk_s : float
        Length of a chunk; what is left at a recording's end is dropped.

    Returns
    -------
    polars.DataFrame
        Rows of `MANIFEST_SCHEMA` in the order of the ledger.

    Raises
    ------
    BatError
        If the index lacks a recording, if only one of `chunks` and `chunked_part` is given, if
        the ledger lacks that part, or if the shares do not add up to 1.
    """
    _check_chunks(ledger, chunks, chunked_part)
    recordings = _with_lengths(ledger, index)
    if chunks is None:
        return check_table(_whole(recordings).drop("row"), MANIFEST_SCHEMA)
    cut, rate_hz = pl.col("part") == chunked_part, index["rate_hz"][0]
    chunked = _chunked(recordings.filter(cut), chunks, round(chunk_s * rate_hz), rate_hz)
    clips = pl.concat([_whole(recordings.filter(~cut)), chunked]).sort("row", maintain_order=True)
    return check_table(clips.drop("row").rechunk(), MANIFEST_SCHEMA)


def write_manifest(
    path: Path,
    manifest: pl.DataFrame,
    order: LabelOrder,
    *,
    applied: AppliedSet | None = None,
) -> None:
    """Write a manifest as Parquet, with its classes; the same content gives the same bytes.

    Parameters
    ----------
    path : Path
    manifest : polars.DataFrame
        Rows of `MANIFEST_SCHEMA`.
    order : LabelOrder
        The classes in the order of their ids, which is that of scores and heads.
    applied : AppliedSet, optional
        The comparison set that the clips were made with.

    Raises
    ------
    BatError
        If the table breaks the schema, or a label is not among the classes.
    """
    _check_labels(manifest, order.classes, origin=path)
    metadata = order.metadata() | applied_metadata(applied)
    write_table(manifest, path, MANIFEST_SCHEMA, metadata=metadata)


def read_manifest(path: Path) -> tuple[pl.DataFrame, LabelOrder]:
    """Return a manifest's rows and the order of its classes.

    Raises
    ------
    BatError
        If the file is absent or damaged, breaks the schema, does not name the order of its
        classes, or has a label that is not among them.
    """
    manifest = read_table(path, MANIFEST_SCHEMA)
    order = read_order(path)
    _check_labels(manifest, order.classes, origin=path)
    return manifest, order


def render(clips: pl.DataFrame, store: PcmStore, *, samples: int | None = None) -> "Tensor":
    """Make the waveforms of clips.

    Components are scaled by their gains and summed. Where the sum exceeds full scale, the whole
    clip is divided by its peak, so that nothing is clipped and the ratios of the components stay.

    Parameters
    ----------
    clips : polars.DataFrame
        Rows of `MANIFEST_SCHEMA`.
    store : PcmStore
    samples : int, optional
        Length of the waveforms: longer clips are truncated, shorter ones end in zeros. Without it
        the clips must be of one length.

    Returns
    -------
    Tensor, [B, samples], float32
        In the order of the rows.

    Raises
    ------
    BatError
        If the clips differ in length, there is none, or the store lacks a window.
    """
    waveforms = [
        _render_clip(components, store, samples) for components in clips["components"].to_list()
    ]
    lengths = {len(waveform) for waveform in waveforms}
    if len(lengths) != 1:
        found = f"{min(lengths)} to {max(lengths)}" if lengths else "none"
        raise BatError(
            f"render: expected clips of one length, found {found} samples; "
            "give the input's samples, to which clips are padded or cut"
        )
    import torch

    return torch.from_numpy(np.stack(waveforms))


def leak_check(
    manifest: pl.DataFrame,
    *,
    train: Collection[str],
    validation: Collection[str] = (),
    test: Collection[str],
) -> None:
    """Make sure that no recording is on two sides of a split.

    Parameters
    ----------
    manifest : polars.DataFrame
        Rows of `MANIFEST_SCHEMA`.
    train, validation, test : collection of str
        The parts of the clips on each side. There may be no validation.

    Raises
    ------
    BatError
        If a recording, or a whole part, is on two sides, if a part has no clip, or if train or
        test names no part.
    """
    sides = {"train": train, "validation": validation, "test": test}
    known = manifest["part"].unique(maintain_order=True).to_list()
    for side, parts in sides.items():
        absent = [part for part in parts if part not in known]
        if absent or (not parts and side != "validation"):
            found = f"part {absent[0]!r} has no clip" if absent else "no part is named"
            raise BatError(f"split: {side}: {found}; known parts: {', '.join(known)}")
    groups = {side: _groups_of(manifest, parts) for side, parts in sides.items()}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        shared = groups[one].filter(groups[one].is_in(groups[other].implode())).sort()
        if len(shared):
            raise BatError(
                f"split: {len(shared)} recordings are in both {one} and {other} clips, "
                f"the first is {shared[0]}"
            )


def _groups_of(manifest: pl.DataFrame, parts: Collection[str]) -> pl.Series:
    """Return the recordings of the clips of some parts, each once."""
    clips = manifest.filter(pl.col("part").is_in(list(parts)))
    return clips["group"].explode().unique()


def _check_labels(manifest: pl.DataFrame, classes: Sequence[str], *, origin: Path) -> None:
    of_clips = manifest["labels"].explode().unique()
    of_events = manifest["events"].explode().struct.field("label").unique()
    unknown = sorted({*of_clips.drop_nulls(), *of_events.drop_nulls()} - set(classes))
    if unknown:
        raise BatError(
            f"{origin}: expected labels among {len(classes)} classes, "
            f"found {len(unknown)} others, the first is {unknown[0]!r}"
        )


def _usable(ledger: pl.DataFrame) -> Iterator[dict[str, Any]]:
    return ledger.filter(pl.col("status") == "ok").select(_OF_RECORDING).iter_rows(named=True)


def _clip(recording: dict[str, Any], start: int, samples: int) -> dict[str, Any]:
    """Return the clip that is one stretch of a recording; it has the recording's labels only."""
    component = {
        "recording_id": recording["recording_id"],
        "start_sample": start,
        "samples": samples,
        "gain_db": 0.0,
    }
    return {
        "clip_id": f"{recording['recording_id']}@{start}",
        "part": recording["part"],
        "group": [recording["recording_id"]],
        "labels": sorted(set(recording["labels"])),
        "events": [],
        "transcript": None,
        "components": [component],
    }


def _window(recording: dict[str, Any], start: int, samples: int, rate_hz: int) -> dict[str, Any]:
    start_s, stop_s = start / rate_hz, (start + samples) / rate_hz
    return _clip(recording, start, samples) | {
        "events": _events_inside(recording["events"], start_s, stop_s)
    }


def _with_lengths(ledger: pl.DataFrame, index: pl.DataFrame) -> pl.DataFrame:
    """Return the usable recordings with a number, which orders them, and their samples."""
    usable = ledger.select("status", *_OF_RECORDING).filter(pl.col("status") == "ok")
    places = rows_of(usable["recording_id"], index["recording_id"])
    recordings = usable.with_columns(index["samples"].gather(places)).with_row_index("row")
    lost = recordings.filter(pl.col("samples").is_null())["recording_id"]
    if len(lost):
        raise BatError(f"PCM store: no such recording: {lost[0]}")
    return recordings


def _whole(recordings: pl.DataFrame) -> pl.DataFrame:
    """Return the clip that each recording is, beside its row."""
    component = pl.struct(
        "recording_id",
        start_sample=pl.lit(0, pl.Int64),
        samples=pl.col("samples"),
        gain_db=pl.lit(0.0),
    )
    return recordings.select(
        "row",
        "part",
        _sorted_labels(recordings["labels"]),
        "events",
        "transcript",
        clip_id="recording_id",
        group=pl.concat_list("recording_id"),
        components=pl.concat_list(component),
    ).select("row", *MANIFEST_SCHEMA.columns)


def _sorted_labels(labels: pl.Series) -> pl.Series:
    """Sort the labels of each recording and take out repetitions."""
    long = _in_one_column(labels.to_frame("labels").lazy())
    wrong = long.filter(~_IN_ORDER).select("row").unique().sort("row").collect()["row"]
    if not len(wrong):
        return labels
    sorted_ones = (
        _in_one_column(labels.gather(wrong).to_frame("labels").lazy())
        .sort("row", "labels")
        .unique(maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg("labels")
        .collect()
    )
    places = np.arange(len(labels))
    places[wrong.to_numpy()] = len(labels) + np.arange(len(wrong))
    return pl.concat([labels, sorted_ones["labels"]]).gather(places)


def _events_inside(
    events: list[dict[str, Any]], start_s: float, stop_s: float
) -> list[dict[str, Any]]:
    """Return what lies of events inside a window, in seconds from its start."""
    return [
        {
            "label": event["label"],
            "onset_s": max(event["onset_s"], start_s) - start_s,
            "offset_s": min(event["offset_s"], stop_s) - start_s,
        }
        for event in events
        if event["onset_s"] < stop_s and event["offset_s"] > start_s
    ]


def _audible_windows(
    store: PcmStore, recording_id: str, samples: int, minimum_rms: float
) -> Iterator[int]:
    """Yield the first sample of each window that is loud enough."""
    for start in range(0, store.length(recording_id) - samples + 1, samples):
        if root_mean_square(store.read(recording_id, start, samples)) >= minimum_rms:
            yield start


def _check_chunks(
    ledger: pl.DataFrame, chunks: Mapping[str, float] | None, chunked_part: str | None
) -> None:
    if (chunks is None) != (chunked_part is None):
        raise BatError("whole clips: chunks and chunked_part belong together, found one of them")
    if chunks is None:
        return
    if abs(sum(chunks.values()) - 1) > 1e-6:
        raise BatError(f"whole clips: chunks: expected shares of 1 in all, found {dict(chunks)}")
    parts = ledger["part"].unique(maintain_order=True).to_list()
    if chunked_part not in parts:
        raise BatError(
            f"whole clips: chunked_part: no recording in part {chunked_part!r}; "
            f"known parts: {', '.join(parts)}"
        )


def _chunked(
    recordings: pl.DataFrame, shares: Mapping[str, float], chunk: int, rate_hz: int
) -> pl.DataFrame:
    """Return the chunks of recordings, beside the rows of these."""
    of_rows = [
        pl.DataFrame(list(_chunks(recording, shares, chunk, rate_hz)), schema=_TYPES).with_columns(
            row=pl.lit(recording["row"], pl.UInt32)
        )
        for recording in recordings.iter_rows(named=True)
    ]
    nothing = pl.DataFrame(schema={"row": pl.UInt32} | _TYPES)
    return pl.concat([nothing, *(rows.select(nothing.columns) for rows in of_rows)])


def _chunks(
    recording: dict[str, Any], shares: Mapping[str, float], chunk: int, rate_hz: int
) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a recording, each in the part that its position gives it."""
    count = recording["samples"] // chunk
    bounds = [0, *(round(count * share) for share in np.cumsum(list(shares.values())))]
    for part, (first, stop) in zip(shares, pairwise(bounds), strict=True):
        for number in range(first, stop):
            clip = _window(recording, number * chunk, chunk, rate_hz)
            yield clip | {"part": part, "group": [f"{recording['recording_id']}/{part}"]}


def _windows_by_speaker(clips: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return each speaker's windows; speakers and windows keep the order of the manifest."""
    windows: dict[str, list[dict[str, Any]]] = {}
    for clip_id, labels, components in clips.select("clip_id", "labels", "components").iter_rows():
        if len(labels) != 1:
            raise BatError(f"mixtures: {clip_id}: expected one label, found {labels}")
        windows.setdefault(labels[0], []).append(components[0])
    return windows


def _draw_mixture(
    generator: np.random.Generator,
    windows: dict[str, list[dict[str, Any]]],
    maximum_speakers: int,
    gain_range_db: float,
) -> dict[str, dict[str, Any]]:
    """Draw the components of one mixture, by speaker."""
    speakers = list(windows)
    count = int(generator.integers(1, min(maximum_speakers, len(speakers)), endpoint=True))
    drawn: dict[str, dict[str, Any]] = {}
    for index in generator.choice(len(speakers), size=count, replace=False):
        speaker = speakers[index]
        window = windows[speaker][generator.integers(len(windows[speaker]))]
        gain_db = float(generator.uniform(-gain_range_db, gain_range_db))
        drawn[speaker] = window | {"gain_db": gain_db}
    return drawn


def _render_clip(
    components: list[dict[str, Any]], store: PcmStore, samples: int | None
) -> npt.NDArray[np.float32]:
    """Sum a clip's components; only what is kept is read."""
    lengths = {component["samples"] for component in components}
    if len(lengths) != 1:
        raise BatError(f"render: a clip's components differ in length: {sorted(lengths)} samples")
    length = lengths.pop()
    mixture = np.zeros(length if samples is None else samples, np.float32)
    kept = min(length, len(mixture))
    for component in components:
        window = store.read(component["recording_id"], component["start_sample"], kept)
        mixture[:kept] += np.float32(10.0 ** (component["gain_db"] / 20.0)) * window
    peak = np.abs(mixture).max()
    return mixture / peak if peak > 1.0 else mixture
