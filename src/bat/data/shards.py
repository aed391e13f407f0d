"""Bulk data on disk: PCM, spectrograms and tokens, each in a plain, documented format.

A PCM store is one npy file of 16-bit samples, all recordings end to end, and a Parquet index.
Spectrogram and token shards are safetensors files; the clips' names are in the file's metadata.
The same content gives the same bytes. Files are written where the caller says, as they are:
making the write atomic is the caller's business.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bat.audio.pcm import to_float32
from bat.data.tables import read_table, write_table
from bat.errors import BatError

PCM_INDEX_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, unique=True),
        "offset": pa.Column(pl.Int64, pa.Check.ge(0)),  # first sample in the npy file
        "samples": pa.Column(pl.Int64, pa.Check.ge(0)),
        "rate_hz": pa.Column(pl.Int64, pa.Check.gt(0)),
    },
    strict=True,
    ordered=True,
    name="PCM index",
)


class PcmStore:
    """Random access to stored waveforms; the samples stay on disk until they are read.

    Attributes
    ----------
    rate_hz : int
        Rate of all recordings.
    recording_ids : tuple of str
        In the order of the file.
    """

    def __init__(self, samples_path: Path, index_path: Path) -> None:
        """Open a store.

        Parameters
        ----------
        samples_path, index_path : Path
            The files of `write_pcm`.

        Raises
        ------
        BatError
            If a file is absent or damaged, or the two do not belong together.
        """
        index = read_table(index_path, PCM_INDEX_SCHEMA)
        try:
            self._samples = np.load(samples_path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BatError(f"{samples_path}: expected an npy file, found: {error}") from error
        expected = index["samples"].sum()
        if self._samples.dtype != np.dtype("<i2") or self._samples.shape != (expected,):
            raise BatError(
                f"{samples_path}: expected int16 [{expected}] as in the index, "
                f"found {self._samples.dtype} {list(self._samples.shape)}"
            )
        rates_hz = index["rate_hz"].unique().to_list()
        if len(rates_hz) != 1:
            raise BatError(f"{index_path}: expected one sample rate, found {sorted(rates_hz)}")
        self.rate_hz = int(rates_hz[0])
        self.recording_ids = tuple(index["recording_id"].to_list())
        self._places = {
            recording_id: (offset, samples)
            for recording_id, offset, samples, _ in index.iter_rows()
        }

    def length(self, recording_id: str) -> int:
        """Return the number of samples of a recording."""
        return self._place(recording_id)[1]

    def pcm(self, recording_id: str) -> npt.NDArray[np.int16]:
        """Return a whole recording as it is stored, int16 [samples]."""
        offset, samples = self._place(recording_id)
        return np.array(self._samples[offset : offset + samples])

    def read(self, recording_id: str, start: int, samples: int) -> npt.NDArray[np.float32]:
        """Return a window of a recording, float32 [samples] of full scale.

        Raises
        ------
        BatError
            If there is no such recording, or the window reaches beyond it.
        """
        offset, length = self._place(recording_id)
        if start < 0 or samples < 0 or start + samples > length:
            raise BatError(
                f"PCM store: {recording_id} has {length} samples, "
                f"asked for {start}..{start + samples}"
            )
        return to_float32(self._samples[offset + start : offset + start + samples])

    def _place(self, recording_id: str) -> tuple[int, int]:
        if recording_id not in self._places:
            raise BatError(f"PCM store: no such recording: {recording_id}")
        return self._places[recording_id]


def write_pcm(
    samples_path: Path,
    index_path: Path,
    recordings: Iterable[tuple[str, npt.NDArray[np.int16]]],
    *,
    rate_hz: int,
) -> None:
    """Write a PCM store.

    Parameters
    ----------
    samples_path, index_path : Path
        The npy file and the Parquet index.
    recordings : iterable of (recording_id, int16 [samples])
    rate_hz : int

    Raises
    ------
    BatError
        If there is no recording, or one that is not int16 [samples].
    """
    ids, waveforms = [], []
    for recording_id, pcm in recordings:
        if pcm.dtype != np.dtype("<i2") or pcm.ndim != 1:
            raise BatError(f"{recording_id}: expected int16 [samples], found {pcm.dtype}")
        ids.append(recording_id)
        waveforms.append(pcm)
    if not waveforms:
        raise BatError(f"{samples_path}: expected at least one recording, found none")
    lengths = np.array([len(waveform) for waveform in waveforms], np.int64)
    index = pl.DataFrame({"recording_id": ids, "offset": np.cumsum(lengths) - lengths})
    index = index.with_columns(samples=pl.Series(lengths), rate_hz=pl.lit(rate_hz, dtype=pl.Int64))
    write_table(index, index_path, PCM_INDEX_SCHEMA)
    with samples_path.open("wb") as file:
        np.save(file, np.concatenate(waveforms), allow_pickle=False)


@dataclass(frozen=True, kw_only=True)
class SpectrogramShard:
    """Spectrograms of clips.

    Attributes
    ----------
    clip_ids : tuple of str
    spectrogram : Tensor, [N, 1, T, F], float32
    """

    clip_ids: tuple[str, ...]
    spectrogram: Tensor


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """Tokens of clips from all L blocks of a frozen encoder.

    Attributes
    ----------
    clip_ids : tuple of str
    cls : Tensor, [L, N, D], float16
    patches : Tensor, [L, N, D, T, F], float16
    """

    clip_ids: tuple[str, ...]
    cls: Tensor
    patches: Tensor


def write_spectrograms(path: Path, clip_ids: Sequence[str], spectrogram: Tensor) -> None:
    """Write a spectrogram shard: one tensor `spectrogram`, [N, 1, T, F], as float32.

    Raises
    ------
    BatError
        If the shape does not fit, or a value is not finite.
    """
    _write(path, clip_ids, {"spectrogram": spectrogram.float()}, _SPECTROGRAM_SHAPES)


def read_spectrograms(path: Path) -> SpectrogramShard:
    """Read a spectrogram shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _SPECTROGRAM_SHAPES, torch.float32)
    return SpectrogramShard(clip_ids=clip_ids, spectrogram=tensors["spectrogram"])


def write_tokens(path: Path, clip_ids: Sequence[str], *, cls: Tensor, patches: Tensor) -> None:
    """Write a token shard: `cls` [L, N, D] and `patches` [L, N, D, T, F], as float16.

    Raises
    ------
    BatError
        If the shapes do not fit, or a value is not finite in float16.
    """
    _write(path, clip_ids, {"cls": cls.half(), "patches": patches.half()}, _TOKEN_SHAPES)


def read_tokens(path: Path) -> TokenShard:
    """Read a token shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _TOKEN_SHAPES, torch.float16)
    return TokenShard(clip_ids=clip_ids, cls=tensors["cls"], patches=tensors["patches"])


# Names of the axes per tensor; axes of the same name have the same length, N is the clips.
_SPECTROGRAM_SHAPES = {"spectrogram": "N1TF"}
_TOKEN_SHAPES = {"cls": "LND", "patches": "LNDTF"}


def _write(
    path: Path, clip_ids: Sequence[str], tensors: dict[str, Tensor], shapes: dict[str, str]
) -> None:
    _check_shapes(path, len(clip_ids), tensors, shapes)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BatError(f"{path}: {name} has values that are not finite in {tensor.dtype}")
    # One metadata key only: safetensors does not keep the order of several.
    metadata = {"clip_ids": json.dumps(list(clip_ids))}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def _read(
    path: Path, shapes: dict[str, str], dtype: torch.dtype
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BatError(f"{path}: expected a safetensors file, found: {error}") from error
    if set(tensors) != set(shapes) or "clip_ids" not in metadata:
        raise BatError(f"{path}: expected {sorted(shapes)} and clip ids, found {sorted(tensors)}")
    clip_ids = tuple(json.loads(metadata["clip_ids"]))
    _check_shapes(path, len(clip_ids), tensors, shapes)
    for name, tensor in tensors.items():
        if tensor.dtype != dtype:
            raise BatError(f"{path}: expected {name} as {dtype}, found {tensor.dtype}")
    return clip_ids, tensors


def _check_shapes(
    path: Path, clips: int, tensors: dict[str, Tensor], shapes: dict[str, str]
) -> None:
    lengths = {"N": clips, "1": 1}
    for name, axes in shapes.items():
        shape = list(tensors[name].shape)
        fits = len(shape) == len(axes) and all(
            lengths.setdefault(axis, length) == length
            for axis, length in zip(axes, shape, strict=True)
        )
        if not fits:
            raise BatError(
                f"{path}: expected {name} as {list(axes)} with {clips} clips, found {shape}"
            )
