"""Bulk data on disk: PCM, spectrograms and tokens, each in a plain, documented format.

A PCM store is one npy file of 16-bit samples, all recordings end to end, and a Parquet index.
Spectrogram and token shards are safetensors files; the clips' names are in the file's metadata.
The same content gives the same bytes. Files are written where the caller says, as they are:
making the write atomic is the caller's business.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

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


class PcmWriter:
    """Write a PCM store one recording after the other, in memory for one recording.

    A context manager. The files are complete once it is left. Until then, and after an error, the
    npy file's header says that it is empty: half a store is never taken for a whole one.

    Parameters
    ----------
    samples_path, index_path : Path
        The npy file, the same bytes as those of `numpy.save`, and the Parquet index.
    rate_hz : int
        Rate of all recordings.

    Raises
    ------
    BatError
        On leaving, if there is no recording.
    """

    _file: BinaryIO

    def __init__(self, samples_path: Path, index_path: Path, *, rate_hz: int) -> None:
        self._samples_path = samples_path
        self._index_path = index_path
        self._rate_hz = rate_hz
        self._lengths: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._file = self._samples_path.open("wb")
        _write_npy_header(self._file, 0)
        return self

    def add(self, recording_id: str, pcm: npt.NDArray[np.int16]) -> None:
        """Append a recording.

        Parameters
        ----------
        recording_id : str
        pcm : array of int16, [samples]

        Raises
        ------
        BatError
            If the samples are something else, or the store has a recording of this name.
        """
        if pcm.dtype != np.dtype("<i2") or pcm.ndim != 1:
            raise BatError(
                f"{recording_id}: expected int16 [samples], found {pcm.dtype} {list(pcm.shape)}"
            )
        if recording_id in self._lengths:
            raise BatError(f"{self._samples_path}: two recordings are called {recording_id}")
        self._file.write(pcm.tobytes())
        self._lengths[recording_id] = len(pcm)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            if error_type is None:
                self._finish()

    def _finish(self) -> None:
        if not self._lengths:
            raise BatError(f"{self._samples_path}: expected at least one recording, found none")
        lengths = np.fromiter(self._lengths.values(), np.int64, len(self._lengths))
        self._file.seek(0)
        _write_npy_header(self._file, int(lengths.sum()))
        index = pl.DataFrame(
            {
                "recording_id": list(self._lengths),
                "offset": np.cumsum(lengths) - lengths,
                "samples": lengths,
            }
        ).with_columns(rate_hz=pl.lit(self._rate_hz, dtype=pl.Int64))
        write_table(index, self._index_path, PCM_INDEX_SCHEMA)


def _write_npy_header(file: BinaryIO, samples: int) -> None:
    """Write the header of an npy file of int16 [samples].

    It takes 128 bytes whatever the number: the format leaves room for the first axis to grow.
    """
    header = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
    np.lib.format.write_array_header_1_0(file, header)


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
            The files of `PcmWriter`.

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
        self._rows = {recording_id: row for row, recording_id in enumerate(self.recording_ids)}
        # Arrays, not pairs of Python integers: a large data set has millions of recordings.
        self._offsets = index["offset"].to_numpy()
        self._lengths = index["samples"].to_numpy()

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
        """Return a recording's first sample in the file and its number of samples."""
        if recording_id not in self._rows:
            raise BatError(f"PCM store: no such recording: {recording_id}")
        row = self._rows[recording_id]
        return int(self._offsets[row]), int(self._lengths[row])


@dataclass(frozen=True, kw_only=True)
class SpectrogramShard:
    """Spectrograms of clips.

    Attributes
    ----------
    clip_ids : tuple of str
    spectrogram : Tensor, [N, 1, T, F], float32 or float16
    """

    clip_ids: tuple[str, ...]
    spectrogram: Tensor


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """Tokens of clips from all L blocks of a frozen encoder.

    Attributes
    ----------
    clip_ids : tuple of str
    cls : Tensor, [L, N, D], float16 or float32
    patches : Tensor, [L, N, D, T, F], of the same type
    """

    clip_ids: tuple[str, ...]
    cls: Tensor
    patches: Tensor


def write_spectrograms(
    path: Path, clip_ids: Sequence[str], spectrogram: Tensor, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a spectrogram shard: one tensor `spectrogram`, [N, 1, T, F].

    Parameters
    ----------
    path : Path
    clip_ids : sequence of str
        Names of the N clips.
    spectrogram : Tensor, [N, 1, T, F]
    dtype : torch.dtype
        In which it is stored, float32 or float16.

    Raises
    ------
    BatError
        If the shape or type does not fit, or a value is not finite in that type.
    """
    _write(path, clip_ids, {"spectrogram": spectrogram.to(dtype)}, _SPECTROGRAM_SHAPES)


def read_spectrograms(path: Path) -> SpectrogramShard:
    """Read a spectrogram shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _SPECTROGRAM_SHAPES)
    return SpectrogramShard(clip_ids=clip_ids, spectrogram=tensors["spectrogram"])


def write_tokens(
    path: Path,
    clip_ids: Sequence[str],
    *,
    cls: Tensor,
    patches: Tensor,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a token shard: `cls` and `patches`.

    Parameters
    ----------
    path : Path
    clip_ids : sequence of str
        Names of the N clips.
    cls : Tensor, [L, N, D]
    patches : Tensor, [L, N, D, T, F]
    dtype : torch.dtype
        In which they are stored, float16 or float32.

    Raises
    ------
    BatError
        If the shapes or type do not fit, or a value is not finite in that type.
    """
    tensors = {"cls": cls.to(dtype), "patches": patches.to(dtype)}
    _write(path, clip_ids, tensors, _TOKEN_SHAPES)


def read_tokens(path: Path) -> TokenShard:
    """Read a token shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _TOKEN_SHAPES)
    return TokenShard(clip_ids=clip_ids, cls=tensors["cls"], patches=tensors["patches"])


# Names of the axes per tensor; axes of the same name have the same length, N is the clips.
_SPECTROGRAM_SHAPES = {"spectrogram": "N1TF"}
_TOKEN_SHAPES = {"cls": "LND", "patches": "LNDTF"}
_DTYPES = (torch.float16, torch.float32)


def _write(
    path: Path, clip_ids: Sequence[str], tensors: dict[str, Tensor], shapes: dict[str, str]
) -> None:
    _check_shapes(path, len(clip_ids), tensors, shapes)
    _check_dtypes(path, tensors)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BatError(f"{path}: {name} has values that are not finite in {tensor.dtype}")
    # One metadata key only: safetensors does not keep the order of several.
    metadata = {"clip_ids": json.dumps(list(clip_ids))}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def _read(path: Path, shapes: dict[str, str]) -> tuple[tuple[str, ...], dict[str, Tensor]]:
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
    _check_dtypes(path, tensors)
    return clip_ids, tensors


def _check_dtypes(path: Path, tensors: dict[str, Tensor]) -> None:
    found = {name: tensor.dtype for name, tensor in tensors.items()}
    if len(set(found.values())) != 1 or not set(found.values()) <= set(_DTYPES):
        raise BatError(f"{path}: expected all of float16 or all of float32, found {found}")


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
