"""Clips of AudioSet that a copy lacks, asked of YouTube."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from bat.acquisition.youtube import Excerpt, Locate, Outcome, fill_gaps
from bat.data.layouts import audioset
from bat.data.recordings import Found
from bat.data.sources import Source

ARCHIVE = "youtube"  # stands in the ledger for the published file that a recording came from
ADDRESS = "https://www.youtube.com"


def fill(
    source: Source,
    folder: Path,
    *,
    parts: Sequence[str],
    seconds_between_requests: float,
    maximum_clips: int,
    locate: Locate,
) -> Iterator[Found]:
    """Ask YouTube for every clip in the lists that has no file.

    Parameters
    ----------
    source : Source
        The lists, and the names of the clips that a copy has; read before the first answer.
    folder, seconds_between_requests, maximum_clips, locate
        See `bat.acquisition.youtube.fill_gaps`.
    parts : sequence of str
        Which of balanced_train, unbalanced_train and eval.

    Returns
    -------
    iterator of Found
        Files of the data set, there or not.
    """
    gaps = _gaps(source, parts)
    outcomes = fill_gaps(
        [excerpt for _, excerpt in gaps],
        folder,
        seconds_between_requests=seconds_between_requests,
        maximum_clips=maximum_clips,
        locate=locate,
    )
    return _found(outcomes, {excerpt.clip_id: part for part, excerpt in gaps})


def _gaps(source: Source, parts: Sequence[str]) -> list[tuple[str, Excerpt]]:
    """Return the part and the excerpt of every clip without a file."""
    lacking = audioset.read(source, parts=parts).entries.filter(pl.col("file").is_null())
    rows = audioset.excerpts(source, parts=parts).join(
        lacking.select("recording_id"), on="recording_id", how="semi", maintain_order="left"
    )
    return [
        (part, Excerpt(clip_id=clip_id, start_s=start_s, end_s=end_s))
        for clip_id, part, start_s, end_s in rows.iter_rows()
    ]


def _found(outcomes: Iterable[Outcome], part_of: dict[str, str]) -> Iterator[Found]:
    for outcome in outcomes:
        # YouTube sends one container or the other; the decoder goes by the content.
        name = f"audio/{part_of[outcome.clip_id]}/{outcome.clip_id}{audioset.YOUTUBE_SUFFIX}"
        problem = None if outcome.status == "ok" else (outcome.status, outcome.reason)
        yield Found(file=name, content=outcome.content, archive=ARCHIVE, problem=problem)
