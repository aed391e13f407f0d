"""Decode and resample any audio file: in this process where that is safe, otherwise with ffmpeg.

To start ffmpeg costs several times the work it does on a clip of ten seconds. WAV and FLAC are
therefore read by libsndfile and resampled by soxr in this process, but only files that are
beyond doubt. This path never refuses a file: it decodes it, or leaves it to ffmpeg, whose verdict
and message count. What it decodes is what ffmpeg decodes, bit for bit at the file's own rate and
to the last of 16 bits at another.

OGG, MP3 and M4A always go through ffmpeg: where a page of an OGG file is lost or the end of an MP3
file, libsndfile reads what is left and says nothing.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from bat.audio import ffmpeg
from bat.audio.ffmpeg import Recording, mean_over_channels
from bat.audio.headers import Header, plain_header

# 28 bits of precision, as in the call of ffmpeg.
_QUALITY = "VHQ"
# Float samples may lie beyond full scale, but not so far that the last bit of a 32-bit float is
# more than that of 16 bits.
_LOUDEST = 8.0
_INTEGERS = {"PCM_U8": "int16", "PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
# The number of frames in a FLAC header: the lower half of the 21st byte and the four behind it.
_FLAC_FRAMES = slice(21, 26)


def decode(source: Path | bytes, *, rate_hz: int | None) -> Recording:
    """Decode a file to a mono float32 waveform.

    The container is recognised by its content, never by its name. Resampling is soxr's with 28
    bits of precision; a file that is already at `rate_hz` passes through unchanged. Channels are
    averaged with equal weights, whatever their layout. May be called from several threads at
    once, which then work at the same time.

    Parameters
    ----------
    source : Path or bytes
        A file, or the content of one.
    rate_hz : int or None
        Wanted rate; None keeps the file's own.

    Raises
    ------
    DecodeError
        If the content is not audio, is damaged or holds less than its header promises.
    EmptyRecordingError
        If the file holds no sample and promises none.
    DecoderKilledError
        If ffmpeg was ended by a signal; the caller may try again.
    """
    recording = decode_in_process(source, rate_hz=rate_hz)
    return ffmpeg.decode(source, rate_hz=rate_hz) if recording is None else recording


def decode_in_process(source: Path | bytes, *, rate_hz: int | None) -> Recording | None:
    """Decode a file without ffmpeg; return None if it is not a WAV or FLAC file beyond doubt.

    Parameters
    ----------
    source : Path or bytes
        A file, or the content of one.
    rate_hz : int or None
        Wanted rate; None keeps the file's own.
    """
    if isinstance(source, Path) and not source.is_file():
        return None
    content = source.read_bytes() if isinstance(source, Path) else source
    header = plain_header(content)
    samples = None if header is None else _read(content, header)
    if header is None or samples is None:
        return None
    return Recording(
        samples=_resample(samples, header.rate_hz, rate_hz),
        rate_hz=header.rate_hz if rate_hz is None else rate_hz,
        native_rate_hz=header.rate_hz,
        channels=header.channels,
        duration_s=header.frames / header.rate_hz,
    )


class _Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read once from its start.

    soundfile seeks after every read, which libsndfile cannot do in a file of unknown length.
    """

    def seekable(self) -> bool:
        return False


def _read(content: bytes, header: Header) -> npt.NDArray[np.float32] | None:
    """Return the mono samples at the file's own rate if they are all that the header promises."""
    pcm = _read_pcm(content, header)
    if pcm is None or len(pcm) != header.frames:
        return None
    if header.pcm_md5 is not None and header.pcm_md5 != _pcm_md5(pcm):
        return None
    samples_NC = _to_float32(pcm)
    return mean_over_channels(samples_NC) if _is_plausible(samples_NC) else None


def _read_pcm(content: bytes, header: Header) -> npt.NDArray[Any] | None:
    """Return all samples [frames, channels] as libsndfile has them, None if it complains."""
    if header.container == "FLAC":
        content = _without_number_of_frames(content)
    try:
        with _Stream(io.BytesIO(content)) as file:
            found = (file.format, file.subtype, file.samplerate, file.channels)
            if found != (header.container, header.subtype, header.rate_hz, header.channels):
                return None
            kind = _INTEGERS.get(header.subtype, "float32")
            pcm: npt.NDArray[Any] = file.read(header.frames + 1, dtype=kind, always_2d=True)
            return pcm
    except soundfile.SoundFileError:
        return None


def _without_number_of_frames(content: bytes) -> bytes:
    """Make libsndfile read a FLAC file to its last byte and complain of what is no frame.

    It stops at the declared number of frames otherwise, whatever follows.
    """
    copy = bytearray(content)
    copy[_FLAC_FRAMES] = bytes([copy[21] & 0xF0, 0, 0, 0, 0])
    return bytes(copy)


def _pcm_md5(pcm: npt.NDArray[Any]) -> bytes:
    """Return the MD5 of 16-bit samples, or of 24-bit samples in the upper bytes of 32."""
    packed = pcm.astype(pcm.dtype.newbyteorder("<"), copy=False)
    if packed.itemsize == 4:
        packed = np.ascontiguousarray(packed.view(np.uint8).reshape(-1, 4)[:, 1:])
    return hashlib.md5(packed.data, usedforsecurity=False).digest()


def _to_float32(pcm: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Scale integers to [-1, 1); floats are in full-scale units already."""
    samples: npt.NDArray[np.float32] = pcm.astype(np.float32, copy=False)
    if pcm.dtype.kind == "i":
        samples *= np.float32(0.5 ** (8 * pcm.itemsize - 1))
    return samples


def _is_plausible(samples: npt.NDArray[np.float32]) -> bool:
    """Tell whether no sample is far out; one that is not a number makes both comparisons false."""
    return bool(samples.max() <= _LOUDEST and samples.min() >= -_LOUDEST)


def _resample(
    samples: npt.NDArray[np.float32], native_rate_hz: int, rate_hz: int | None
) -> npt.NDArray[np.float32]:
    if rate_hz is None or rate_hz == native_rate_hz:
        return samples
    resampled: npt.NDArray[np.float32] = soxr.resample(samples, native_rate_hz, rate_hz, _QUALITY)
    return resampled
