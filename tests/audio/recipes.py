"""Audio files for the tests, made on the spot."""

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from bat.audio.ffmpeg import ffmpeg_binary


def noise(seconds=2.0, rate_hz=16_000, level=0.1, seed=0):
    """Gaussian noise, float32 [samples], exact in 16 bits."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)) * level
    return (np.rint(np.clip(samples, -0.99, 0.99) * 32768) / 32768).astype(np.float32)


def tones_and_noise(rate_hz, seconds=2.0, highest_hz=7000.0):
    """Three tones and noise with nothing to speak of above `highest_hz`."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = sum(0.1 * np.sin(2 * np.pi * f * time_s) for f in (110.0, 1000.0, 5200.0))
    white = np.random.default_rng(1).standard_normal(len(time_s))
    # The filter's stop band, 120 dB down, begins at highest_hz.
    lowpass = signal.ellip(14, 0.1, 120, 0.9 * highest_hz, fs=rate_hz, output="sos")
    return (tones + 0.1 * signal.sosfilt(lowpass, white)).astype(np.float32)


def encoded(samples, rate_hz=16_000, *, container="WAV", subtype="PCM_16"):
    """Bytes of a file with samples [samples] or [samples, channels]."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def with_ffmpeg(folder: Path, extension, *options):
    """Bytes of 2 s of noise, encoded by ffmpeg for a file name with this extension."""
    source, target = folder / "plain.wav", folder / f"encoded.{extension}"
    source.write_bytes(encoded(noise()))
    subprocess.run(
        [ffmpeg_binary(), "-y", "-v", "error", "-i", str(source), *options, str(target)], check=True
    )
    return target.read_bytes()
