"""Manifests: which clips a task has, and what each is made of.

A clip is one or more components, each a window of a recording with a gain. A single-speaker clip
has one component at 0 dB; a mixture has several. Clips exist as rows until `render` makes them
waveforms.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl
import torch
from torch import Tensor

from bat.audio.pcm import root_mean_square
from bat.data.shards import PcmStore
from bat.data.tables import check_table
from bat.errors import BatError

SPEAKER_TASK = "speaker"
MIXTURE_TASK = "mixture"

_COMPONENT = pl.Struct(
    {
        "recording_id": pl.String,
        "start_sample": pl.Int64,  # at the rate of the PCM store
        "samples": pl.Int64,
        "gain_db": pl.Float64,
    }
)

MANIFEST_SCHEMA = pa.DataFrameSchema(
    {
        "clip_id": pa.Column(pl.String, unique=True),
        "task": pa.Column(pl.String, pa.Check.isin((SPEAKER_TASK, MIXTURE_TASK))),
        "meeting": pa.Column(pl.String),
        "fold": pa.Column(pl.Int64, pa.Check.ge(0)),  # the fold in which the clip is a test clip
        # The clip's recordings: none of them may be on both sides of a split.
        "group": pa.Column(pl.List(pl.String)),
        "labels": pa.Column(pl.List(pl.String)),  # speakers, sorted
        "components": pa.Column(pl.List(_COMPONENT)),
    },
    checks=pa.Check(
        lambda data: data.lazyframe.select(
            (pl.col("labels").list.len() > 0)
            & (pl.col("labels") == pl.col("labels").list.sort())
            & (pl.col("components").list.len() > 0)
        ),
        error="every clip has a component and sorted labels",
    ),
    strict=True,
    ordered=True,
    name="manifest",
)


def speaker_clips(
    ledger: pl.DataFrame, store: PcmStore, *, window_s: float = 1.0, min_rms: float = 0.003
) -> pl.DataFrame:
    """Cut every usable recording into clips of one speaker each (task A).

    Windows follow each other without overlap from a recording's start; what is left at its end is
    dropped, and so is a window that is nearly silent. A meeting is a fold, numbered in the order
    of the ledger.

    Parameters
    ----------
    ledger : polars.DataFrame
        Rows of `bat.data.ledger.LEDGER_SCHEMA`.
    store : PcmStore
        PCM of the ledger's recordings with status "ok".
    window_s : float
        Length of a clip.
    min_rms : float
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
    window = round(window_s * store.rate_hz)
    meetings = ledger["meeting"].unique(maintain_order=True).to_list()
    usable = ledger.filter(pl.col("status") == "ok")
    rows = [
        {
            "clip_id": f"{recording_id}@{start}",
            "task": SPEAKER_TASK,
            "meeting": meeting,
            "fold": meetings.index(meeting),
            "group": [recording_id],
            "labels": [speaker],
            "components": [_component(recording_id, start, window, gain_db=0.0)],
        }
        for recording_id, meeting, speaker in usable.select(
            "recording_id", "meeting", "speaker"
        ).iter_rows()
        for start in _audible_windows(store, recording_id, window, min_rms)
    ]
    return _manifest(rows)


def mixture_clips(
    speaker_manifest: pl.DataFrame,
    *,
    seed: int,
    mixtures_per_clip: float = 1.0,
    max_speakers: int = 3,
    max_gain_db: float = 6.0,
) -> pl.DataFrame:
    """Draw mixtures of several speakers (task B), each inside one meeting.

    Per mixture: the number of speakers is uniform in 1..max_speakers (at most those that the
    meeting has), the speakers are drawn without replacement, each with one of its windows of the
    meeting and a gain uniform in +-max_gain_db. As no mixture crosses meetings, splits by meeting
    stay clean.

    Parameters
    ----------
    speaker_manifest : polars.DataFrame
        The result of `speaker_clips`: the windows to draw from.
    seed : int
        Seed; every meeting has a random stream of its own, so that a change in one meeting leaves
        the mixtures of the others as they are.
    mixtures_per_clip : float
        Mixtures of a meeting per single-speaker clip of it, rounded to a whole number of mixtures.
    max_speakers : int
    max_gain_db : float

    Returns
    -------
    polars.DataFrame
        Rows of `MANIFEST_SCHEMA`, ordered by meeting.
    """
    rows: list[dict[str, Any]] = []
    for clips in speaker_manifest.partition_by("meeting", maintain_order=True):
        meeting, fold = clips["meeting"][0], clips["fold"][0]
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(fold,)))
        windows = _windows_by_speaker(clips)
        for number in range(round(mixtures_per_clip * clips.height)):
            drawn = _draw_mixture(generator, windows, max_speakers, max_gain_db)
            rows.append(
                {
                    "clip_id": f"{meeting}/mixture-{number:05d}",
                    "task": MIXTURE_TASK,
                    "meeting": meeting,
                    "fold": fold,
                    "group": sorted({part["recording_id"] for part in drawn.values()}),
                    "labels": sorted(drawn),
                    "components": list(drawn.values()),
                }
            )
    return _manifest(rows)


def render(clips: pl.DataFrame, store: PcmStore) -> Tensor:
    """Make the waveforms of clips.

    Components are scaled by their gains and summed. Where the sum exceeds full scale, the whole
    clip is divided by its peak, so that nothing is clipped and the ratios of the components stay.

    Parameters
    ----------
    clips : polars.DataFrame
        Rows of `MANIFEST_SCHEMA`, all of one length.
    store : PcmStore

    Returns
    -------
    Tensor, [B, samples], float32
        In the order of the rows.

    Raises
    ------
    BatError
        If the clips differ in length, there is none, or the store lacks a window.
    """
    waveforms = [_render_clip(components, store) for components in clips["components"].to_list()]
    lengths = {len(waveform) for waveform in waveforms}
    if len(lengths) != 1:
        raise BatError(f"render: expected clips of one length, found {sorted(lengths)} samples")
    return torch.from_numpy(np.stack(waveforms))


def leak_check(
    manifest: pl.DataFrame, *, train_meetings: Collection[str], test_meetings: Collection[str]
) -> None:
    """Make sure that no recording has a part in both training and test clips.

    Parameters
    ----------
    manifest : polars.DataFrame
        Rows of `MANIFEST_SCHEMA`.
    train_meetings, test_meetings : collection of str
        The meetings of the clips on either side.

    Raises
    ------
    BatError
        If a recording, or a whole meeting, is on both sides, or one side has no clip.
    """
    train = _recordings_of(manifest, train_meetings)
    test = _recordings_of(manifest, test_meetings)
    if not train or not test:
        empty = "training" if not train else "test"
        raise BatError(f"split: expected clips on both sides, found no {empty} clip")
    shared = sorted(train & test)
    if shared:
        raise BatError(
            f"split: {len(shared)} recordings are in both training and test clips, "
            f"the first is {shared[0]}"
        )


def _manifest(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {name: column.dtype.type for name, column in MANIFEST_SCHEMA.columns.items()}
    return check_table(pl.DataFrame(rows, schema=schema), MANIFEST_SCHEMA)


def _component(recording_id: str, start: int, samples: int, *, gain_db: float) -> dict[str, Any]:
    return {
        "recording_id": recording_id,
        "start_sample": start,
        "samples": samples,
        "gain_db": gain_db,
    }


def _audible_windows(
    store: PcmStore, recording_id: str, window: int, min_rms: float
) -> Iterator[int]:
    """Yield the first sample of each window that is loud enough."""
    for start in range(0, store.length(recording_id) - window + 1, window):
        if root_mean_square(store.read(recording_id, start, window)) >= min_rms:
            yield start


def _windows_by_speaker(clips: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return each speaker's windows; speakers and windows keep the order of the manifest."""
    windows: dict[str, list[dict[str, Any]]] = {}
    for labels, components in clips.select("labels", "components").iter_rows():
        windows.setdefault(labels[0], []).append(components[0])
    return windows


def _draw_mixture(
    generator: np.random.Generator,
    windows: dict[str, list[dict[str, Any]]],
    max_speakers: int,
    max_gain_db: float,
) -> dict[str, dict[str, Any]]:
    """Draw the components of one mixture, by speaker."""
    speakers = list(windows)
    count = int(generator.integers(1, min(max_speakers, len(speakers)), endpoint=True))
    drawn: dict[str, dict[str, Any]] = {}
    for index in generator.choice(len(speakers), size=count, replace=False):
        speaker = speakers[index]
        window = windows[speaker][generator.integers(len(windows[speaker]))]
        gain_db = float(generator.uniform(-max_gain_db, max_gain_db))
        drawn[speaker] = window | {"gain_db": gain_db}
    return drawn


def _render_clip(components: list[dict[str, Any]], store: PcmStore) -> npt.NDArray[np.float32]:
    lengths = {part["samples"] for part in components}
    if len(lengths) != 1:
        raise BatError(f"render: a clip's components differ in length: {sorted(lengths)} samples")
    mixture = np.zeros(lengths.pop(), np.float32)
    for part in components:
        window = store.read(part["recording_id"], part["start_sample"], part["samples"])
        mixture += np.float32(10.0 ** (part["gain_db"] / 20.0)) * window
    peak = np.abs(mixture).max()
    return mixture / peak if peak > 1.0 else mixture


def _recordings_of(manifest: pl.DataFrame, meetings: Collection[str]) -> set[str]:
    clips = manifest.filter(pl.col("meeting").is_in(list(meetings)))
    return {part["recording_id"] for parts in clips["components"].to_list() for part in parts}
