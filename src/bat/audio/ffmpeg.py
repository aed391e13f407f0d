"""Decode and resample any audio file with ffmpeg.

One ffmpeg process per file. What it decoded is read from its own log (the ``ashowinfo`` filter
reports every frame), so the native rate, the channels and the number of decoded samples are facts
about the samples, not claims of a header.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from bat.errors import BatError

# Containers of sound. Playlists (HLS, concat, SDP) are left out: they make ffmpeg open other files.
_FORMATS = "wav,w64,aiff,caf,au,flac,mp3,aac,ogg,mov,matroska"

_FRAME = re.compile(r"ashowinfo.* channels:(\d+) .*rate:(\d+) nb_samples:(\d+)")
_DURATION = re.compile(r"^\[info\] +Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_PROBLEM = re.compile(r"^(?:\[[^]]*\] )*\[(?:error|fatal)\] (.*)$", re.MULTILINE)

# ffmpeg prints a declared duration in hundredths of a second, and an encoder's delay and padding
# may make a lossy file a little shorter than its container says.
_DURATION_TOLERANCE_S = 0.03
# What a WAV writer declares when it writes to a pipe and cannot go back to fill in the real size.
_STREAMED_WAV_BYTES = (0x7FFFFFFF, 0xFFFFFFFF)


class DecodeError(BatError):
    """The file's content cannot be decoded completely."""


class EmptyRecordingError(DecodeError):
    """The file is a valid container that holds, and promises, no sample."""


class DecoderKilledError(BatError):
    """ffmpeg was ended by a signal, which says nothing about the file."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A decoded mono waveform and what it was decoded from.

    Attributes
    ----------
    samples : array of float32, [samples]
        The mean over the channels at `rate_hz`, in full-scale units.
    rate_hz : int
        Rate of `samples`.
    native_rate_hz : int
        Rate in the file.
    channels : int
        Channels in the file.
    duration_s : float
        Decoded samples over the native rate.
    """

    samples: npt.NDArray[np.float32]
    rate_hz: int
    native_rate_hz: int
    channels: int
    duration_s: float


@cache
def ffmpeg_binary() -> str:
    """Return the path of ffmpeg: the one on PATH, otherwise the one that imageio-ffmpeg brings.

    Raises
    ------
    BatError
        If there is neither.
    """
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        return on_path
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise BatError(f"ffmpeg: none on PATH and none in imageio-ffmpeg ({error})") from error


def decode(source: Path | bytes, *, rate_hz: int | None) -> Recording:
    """Decode a file to a mono float32 waveform with ffmpeg, whatever its format.

    Parameters and errors are those of :func:`bat.audio.decoding.decode`.
    """
    with _as_file(source) as path:
        declared_bytes, present_bytes = _wav_data_bytes(path)
        streamed = declared_bytes in _STREAMED_WAV_BYTES
        if present_bytes < declared_bytes and not streamed:
            missing_bytes = declared_bytes - present_bytes
            raise DecodeError(f"truncated: the WAV header promises {missing_bytes} bytes more")
        # Without a known end, ffmpeg takes the last packet for corrupt, which is no error then.
        output, log = _run(path, rate_hz, stop_at_error=not streamed)
    return _recording(output, log, rate_hz)


def mean_over_channels(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Average [samples, channels] to [samples], with equal weights.

    Channels are added up one after the other, so that every way of decoding rounds alike. It is
    also many times faster than a mean over so short an axis.
    """
    total = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    return total if samples.shape[1] == 1 else total / np.float32(samples.shape[1])


@contextmanager
def _as_file(source: Path | bytes) -> Iterator[Path]:
    """Give ffmpeg a file that it can seek in, which some containers need."""
    if isinstance(source, Path):
        if not source.is_file():
            raise DecodeError("no such file")
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="bat-decode-") as folder:
        path = Path(folder) / "source"
        path.write_bytes(source)
        yield path


def _wav_data_bytes(path: Path) -> tuple[int, int]:
    """Return the declared and the present size of a WAV file's samples; zeros for other files.

    ffmpeg reads a WAV file that was cut between two of its packets without a word.
    """
    with path.open("rb") as file:
        total_bytes = file.seek(0, 2)
        file.seek(0)
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return 0, 0
        while len(chunk := file.read(8)) == 8:
            size_bytes = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return size_bytes, total_bytes - file.tell()
            # Chunks start at even offsets.
            file.seek(size_bytes + size_bytes % 2, 1)
    return 0, 0


def _run(path: Path, rate_hz: int | None, *, stop_at_error: bool) -> tuple[bytes, str]:
    """Run ffmpeg; return interleaved float32 PCM and the log."""
    # "file:" keeps names like "http:x.wav" or "-y" from being read as anything but a file name,
    # and the lists keep a hostile file from making ffmpeg open another file or the network.
    stream = ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=_FORMATS)
    # ashowinfo comes first, so that it sees the file's own rate and channels.
    stream = stream["a:0"].filter("ashowinfo")
    if rate_hz is not None:
        stream = stream.filter("aresample", rate_hz, resampler="soxr", precision=28)
    command = stream.output("pipe:1", format="f32le").global_args(
        "-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"
    )
    if stop_at_error:
        command = command.global_args("-xerror")
    process = command.run_async(cmd=ffmpeg_binary(), pipe_stdout=True, pipe_stderr=True)
    output, log_bytes = process.communicate()
    log = log_bytes.decode(errors="replace")
    if process.returncode < 0:
        raise DecoderKilledError(f"ffmpeg was killed by signal {-process.returncode}")
    if process.returncode > 0:
        raise DecodeError(f"undecodable: {_first_problem(log, path)}")
    return output, log


def _first_problem(log: str, path: Path) -> str:
    """Return the cause of a failed run from its log, without the file's name."""
    problems = _PROBLEM.findall(log)
    return problems[0].replace(str(path), "<file>").strip() if problems else "no reason given"


def _recording(output: bytes, log: str, rate_hz: int | None) -> Recording:
    frames = [tuple(map(int, found)) for found in _FRAME.findall(log)]
    declared_s = _declared_duration_s(log)
    formats = {(channels, native_rate_hz) for channels, native_rate_hz, _ in frames}
    if not formats:
        if declared_s > 0:
            raise DecodeError(f"truncated: header promises {declared_s:.2f} s, decoded none")
        raise EmptyRecordingError("no samples")
    if len(formats) > 1:
        raise DecodeError(f"changes its channels or rate midway: {sorted(formats)}")
    channels, native_rate_hz = formats.pop()
    duration_s = sum(samples for *_, samples in frames) / native_rate_hz
    if declared_s - duration_s > _DURATION_TOLERANCE_S:
        raise DecodeError(
            f"truncated: header promises {declared_s:.2f} s, decoded {duration_s:.2f} s"
        )
    samples = np.frombuffer(output, "<f4").reshape(-1, channels)
    return Recording(
        samples=mean_over_channels(samples),
        rate_hz=native_rate_hz if rate_hz is None else rate_hz,
        native_rate_hz=native_rate_hz,
        channels=channels,
        duration_s=duration_s,
    )


def _declared_duration_s(log: str) -> float:
    """Return the duration that the container declares, 0 where it declares none."""
    found = _DURATION.search(log)
    if found is None:
        return 0.0
    hours, minutes, seconds = found.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
