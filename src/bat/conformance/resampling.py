"""Check that decoding brings recordings to 16 kHz as soxr does on exact samples.

Made material at 44.1 and 48 kHz goes through real WAV and FLAC files and both ways of decoding.
The reference is soxr HQ in float64 on the samples that the files hold. Below 7 kHz the two must
agree: above, resamplers differ by design in where they begin to fall off. The material reaches up
to 20 kHz, so that what a resampler fails to remove shows as an error too.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import typer

from bat.audio import ffmpeg
from bat.audio.decoding import decode_in_process
from bat.audio.ffmpeg import Recording
from bat.audio.pcm import FULL_SCALE, to_float32, to_int16
from bat.errors import BatError

RATE_HZ = 16_000
NATIVE_RATES_HZ = (44_100, 48_000)
HIGHEST_COMPARED_HZ = 7_000.0
LOWEST_AGREEMENT_DB = 70.0

_CONTAINERS = ("WAV", "FLAC")
_LENGTH_S = 2.0
_HIGHEST_HZ = 20_000.0
_PEAK = 0.5

Waveform = npt.NDArray[np.float64]
Decoder = Callable[[bytes], Recording | None]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well one decoded file agrees with the reference below 7 kHz.

    Attributes
    ----------
    name : str
        Material, rate, container and decoder.
    float_db, stored_db : float
        Power of the reference over power of the difference: of the decoded waveform, and of the
        16-bit form in which it is stored.
    problem : str
        Why nothing could be compared; empty otherwise.
    """

    name: str
    float_db: float
    stored_db: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether both forms agree to at least 70 dB."""
        agrees = (db >= LOWEST_AGREEMENT_DB for db in (self.float_db, self.stored_db))
        return not self.problem and all(agrees)


DECODERS: Mapping[str, Decoder] = {
    "in-process": lambda content: decode_in_process(content, rate_hz=RATE_HZ),
    "ffmpeg": lambda content: ffmpeg.decode(content, rate_hz=RATE_HZ),
}


def check_resampling(decoders: Mapping[str, Decoder] = DECODERS) -> Iterator[Agreement]:
    """Compare every kind of material at every rate, from every container, by every decoder.

    Parameters
    ----------
    decoders : mapping of name to callable
        Decode the content of a file to 16 kHz; None leaves it to another decoder, which is a
        failure here.
    """
    for rate_hz in NATIVE_RATES_HZ:
        for kind, samples in made_material(rate_hz).items():
            reference = soxr.resample(samples, rate_hz, RATE_HZ, "HQ")
            for container in _CONTAINERS:
                content = _encoded(samples, rate_hz, container)
                for decoder, decode in decoders.items():
                    name = f"{kind}, {rate_hz} Hz, {container}, {decoder}"
                    yield compare(name, decode(content), reference)


def print_report(decoders: Mapping[str, Decoder] = DECODERS) -> None:
    """Print one line per case - name, agreement, pass or fail - and how many passed.

    Raises
    ------
    BatError
        If a case fails.
    """
    failed, count = [], 0
    for case in check_resampling(decoders):
        count += 1
        verdict = "pass" if case.passed else "fail"
        figures = f"{case.float_db:6.1f} dB  {case.stored_db:6.1f} dB in 16 bits"
        typer.echo(f"{case.name:<38}  {case.problem or figures}  {verdict}")
        if not case.passed:
            failed.append(case.name)
    typer.echo(
        f"{count - len(failed)} of {count} cases agree with soxr HQ to {LOWEST_AGREEMENT_DB:g} dB "
        f"below {HIGHEST_COMPARED_HZ:g} Hz"
    )
    if failed:
        raise BatError(
            f"resampling: {len(failed)} of {count} cases failed, the first: {failed[0]}; "
            "recordings prepared on this machine would differ from those of others"
        )


def compare(name: str, recording: Recording | None, reference: Waveform) -> Agreement:
    """Compare one decoded file with the reference.

    Parameters
    ----------
    name : str
    recording : Recording or None
    reference : array of float64, [samples]
        At 16 kHz.
    """
    problem = _problem(recording, len(reference))
    if recording is None or problem:
        return Agreement(name=name, float_db=math.nan, stored_db=math.nan, problem=problem)
    stored = to_float32(to_int16(recording.samples))
    return Agreement(
        name=name,
        float_db=agreement_db(recording.samples, reference),
        stored_db=agreement_db(stored, reference),
    )


def agreement_db(
    found: npt.NDArray[np.floating],
    reference: Waveform,
    *,
    from_hz: float = 0.0,
    to_hz: float = HIGHEST_COMPARED_HZ,
) -> float:
    """Return the power of the reference over that of the difference in a band, in dB.

    Parameters
    ----------
    found, reference : array, [samples]
        At 16 kHz, of the same length.
    from_hz, to_hz : float
        The band.
    """
    window = np.hanning(len(reference))  # keeps a loud band from leaking into this one
    frequency_hz = np.fft.rfftfreq(len(reference), 1 / RATE_HZ)
    in_band = (frequency_hz >= from_hz) & (frequency_hz < to_hz)

    def power(waveform: Waveform) -> float:
        return float(np.square(np.abs(np.fft.rfft(waveform * window)[in_band])).sum())

    difference = power(found.astype(np.float64) - reference)
    return math.inf if difference == 0 else 10 * math.log10(power(reference) / difference)


def made_material(rate_hz: int) -> dict[str, Waveform]:
    """Make two seconds each of noise, a sweep, tones and something like speech.

    Parameters
    ----------
    rate_hz : int

    Returns
    -------
    dict of str to array of float64, [samples]
        Exact in 16 bits, so that every container holds the same samples.
    """
    time_s = np.arange(round(_LENGTH_S * rate_hz)) / rate_hz
    random = np.random.default_rng(0)
    made = {
        "noise": _noise(random, rate_hz, len(time_s), 20.0, _HIGHEST_HZ),
        "sweep": _sweep(time_s),
        "tones": _tones(time_s),
        "speech": _speech(random, rate_hz, time_s),
    }
    return {kind: _in_16_bits(samples) for kind, samples in made.items()}


def _noise(
    random: np.random.Generator, rate_hz: int, samples: int, lowest_hz: float, highest_hz: float
) -> Waveform:
    """Make white noise within a band."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    spectrum[(frequency_hz < lowest_hz) | (frequency_hz > highest_hz)] = 0
    return np.fft.irfft(spectrum, samples)


def _sweep(time_s: Waveform) -> Waveform:
    """Make a tone that rises exponentially from 20 Hz to 20 kHz."""
    growth = math.log(_HIGHEST_HZ / 20.0) / _LENGTH_S
    sweep: Waveform = np.sin(2 * np.pi * 20.0 / growth * np.expm1(growth * time_s))
    return sweep


def _tones(time_s: Waveform) -> Waveform:
    """Make tones on both sides of 8 kHz: the upper ones would fold to 7.1, 6.3, 4.9 and 1 kHz."""
    below_hz = (110.0, 1_000.5, 3_333.0, 5_200.0, 6_900.0)
    above_hz = (8_900.0, 9_700.0, 11_100.0, 17_000.0)
    frequencies_hz = below_hz + above_hz
    tones: Waveform = np.sum([np.sin(2 * np.pi * f * time_s) for f in frequencies_hz], axis=0)
    return tones


def _speech(random: np.random.Generator, rate_hz: int, time_s: Waveform) -> Waveform:
    """Make four syllables a second: gliding harmonics, each with a hiss like an "s" behind it."""
    pitch_hz = 120.0 + 30.0 * np.sin(2 * np.pi * 0.7 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.sum([np.sin(k * phase) / k for k in range(1, 50)], axis=0)
    hiss = _noise(random, rate_hz, len(time_s), 4_000.0, 16_000.0)
    syllable = np.maximum(np.sin(2 * np.pi * 4.0 * time_s), 0.0) ** 2
    pause = np.maximum(-np.sin(2 * np.pi * 4.0 * time_s), 0.0) ** 2
    speech: Waveform = voice * syllable + 0.2 * hiss * pause
    return speech


def _in_16_bits(samples: Waveform) -> Waveform:
    rounded: Waveform = np.rint(samples / np.abs(samples).max() * _PEAK * FULL_SCALE) / FULL_SCALE
    return rounded


def _encoded(samples: Waveform, rate_hz: int, container: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype="PCM_16")
    return file.getvalue()


def _problem(recording: Recording | None, samples: int) -> str:
    if recording is None:
        return "not decoded by this decoder"
    if recording.rate_hz != RATE_HZ or len(recording.samples) != samples:
        return (
            f"expected {samples} samples at {RATE_HZ} Hz, "
            f"found {len(recording.samples)} at {recording.rate_hz} Hz"
        )
    return "" if np.isfinite(recording.samples).all() else "samples that are not finite"
