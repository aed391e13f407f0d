"""Waveforms on disk: one npy file of 16-bit samples, recordings end to end, and a Parquet index.

The index lists the recordings that are of use. The same content gives the same bytes. Files are
written where the caller says, as they are: making the write atomic is the caller's business.
"""

import os
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt
import pandera.polars as pa
import polars as pl

from bat.audio.pcm import to_float32
from bat.data.tables import DISTINCT, read_table, write_table
from bat.errors import BatError

_NPY_HEADER_BYTES = 128

PCM_INDEX_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": pa.Column(pl.String, DISTINCT),
        "offset": pa.Column(pl.Int64, pa.Check.ge(0)),  # first sample in the npy file
        "samples": pa.Column(pl.Int64, pa.Check.ge(0)),
        "rate_hz": pa.Column(pl.Int64, pa.Check.gt(0)),  # one for all
    },
    strict=True,
    ordered=True,
    name="PCM index",
)


class PcmLog:
    """An npy file of 16-bit samples that grows, and that is continued after an interruption.

    Its header tells how many samples there are only after `flush`.

    Parameters
    ----------
    path : Path
        A new file, or one that has at least `samples` samples; what is beyond them is cut off.
    samples : int
        How many of its samples count.

    Attributes
    ----------
    samples : int
        How many there are.

    Raises
    ------
    BatError
        If the file has fewer samples.
    """

    def __init__(self, path: Path, *, samples: int = 0) -> None:
        self._path = path
        self.samples = samples
        self._file = path.open("r+b" if samples else "w+b")
        present = (self._file.seek(0, 2) - _NPY_HEADER_BYTES) // 2
        if samples and present < samples:
            self._file.close()
            raise BatError(f"{path}: expected {samples} samples, found {max(0, present)}")
        self._file.truncate(_NPY_HEADER_BYTES + 2 * samples)
        self.flush()

    def append(self, pcm: npt.NDArray[np.int16]) -> int:
        """Store samples at the end.

        Parameters
        ----------
        pcm : array of int16, [samples]

        Returns
        -------
        int
            The place of their first one.

        Raises
        ------
        BatError
            If the samples are something else.
        """
        if pcm.dtype != np.dtype("<i2") or pcm.ndim != 1:
            raise BatError(
                f"{self._path}: expected int16 [samples], found {pcm.dtype} {list(pcm.shape)}"
            )
        offset = self.samples
        self._file.write(pcm.tobytes())
        self.samples += len(pcm)
        return offset

    def flush(self) -> None:
        """Make what was stored outlive a crash of the machine."""
        self._file.seek(0)
        _write_npy_header(self._file, self.samples)
        self._file.seek(0, 2)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is; what came after the last `flush` does not count."""
        self._file.close()


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

    _log: PcmLog

    def __init__(self, samples_path: Path, index_path: Path, *, rate_hz: int) -> None:
        self._samples_path = samples_path
        self._index_path = index_path
        self._rate_hz = rate_hz
        self._listed: dict[str, tuple[int, int]] = {}  # recording_id -> offset and samples
        self._index: pl.DataFrame | None = None

    def __enter__(self) -> Self:
        self._log = PcmLog(self._samples_path)
        return self

    def append(self, pcm: npt.NDArray[np.int16]) -> int:
        """Store samples that the index does not list, unless `list_only` does; see `PcmLog`."""
        return self._log.append(pcm)

    def add(self, recording_id: str, pcm: npt.NDArray[np.int16]) -> None:
        """Append a recording and list it.

        Parameters
        ----------
        recording_id : str
        pcm : array of int16, [samples]

        Raises
        ------
        BatError
            If the samples are something else, or the store has a recording of this name.
        """
        if recording_id in self._listed:
            raise BatError(f"{self._samples_path}: two recordings are called {recording_id}")
        self._listed[recording_id] = (self.append(pcm), len(pcm))

    def list_only(self, index: pl.DataFrame) -> None:
        """Make this the index: the recordings of `PCM_INDEX_SCHEMA` that are of use."""
        self._index = index

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error_type is None:
                self._finish()
        finally:
            self._log.abandon()

    def _finish(self) -> None:
        index = self._of_added() if self._index is None else self._index
        if not index.height:
            raise BatError(f"{self._samples_path}: expected at least one recording, found none")
        self._log.flush()
        write_table(index, self._index_path, PCM_INDEX_SCHEMA)

    def _of_added(self) -> pl.DataFrame:
        offsets = [offset for offset, _ in self._listed.values()]
        samples = [samples for _, samples in self._listed.values()]
        return pl.DataFrame(
            {"recording_id": list(self._listed), "offset": offsets, "samples": samples},
            schema_overrides={"offset": pl.Int64, "samples": pl.Int64},
        ).with_columns(rate_hz=pl.lit(self._rate_hz, dtype=pl.Int64))


def _write_npy_header(file: BinaryIO, samples: int) -> None:
    """Write the header of an npy file of int16 [samples].

    It takes `_NPY_HEADER_BYTES` whatever the number: the format leaves room for the first axis to
    grow.
    """
    header = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
    np.lib.format.write_array_header_1_0(file, header)


class PcmStore:
    """Random access to stored waveforms; the samples stay on disk until they are read.

    Attributes
    ----------
    rate_hz : int
        Rate of all recordings.
    index : polars.DataFrame
        Where each recording lies, rows of `PCM_INDEX_SCHEMA`.
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
        # There may be more samples than the recordings of the index have.
        expected = int((index["offset"] + index["samples"]).to_numpy().max(initial=0))
        fits = self._samples.ndim == 1 and len(self._samples) >= expected
        if self._samples.dtype != np.dtype("<i2") or not fits:
            raise BatError(
                f"{samples_path}: expected int16 [{expected}] or more for the index, "
                f"found {self._samples.dtype} {list(self._samples.shape)}"
            )
        rates_hz = index["rate_hz"].unique().to_list()
        if len(rates_hz) != 1:
            raise BatError(f"{index_path}: expected one sample rate, found {sorted(rates_hz)}")
        self.rate_hz = int(rates_hz[0])
        self.index = index
        # Arrays, not pairs of Python integers: a large data set has millions of recordings.
        self._offsets = index["offset"].to_numpy()
        self._lengths = index["samples"].to_numpy()

    @property
    def recording_ids(self) -> tuple[str, ...]:
        """Names of the recordings, in the order of the index."""
        return tuple(self.index["recording_id"].to_list())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {recording_id: row for row, recording_id in enumerate(self.recording_ids)}

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
