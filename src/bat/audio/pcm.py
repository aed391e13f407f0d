"""The 16-bit form in which waveforms are stored and hashed."""

import hashlib

import numpy as np
import numpy.typing as npt

# 2^15 steps from silence to full scale, as in a 16-bit WAV file.
FULL_SCALE = 32768


def to_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round a waveform in [-1, 1) to 16 bits; louder samples are clipped.

    A waveform that was decoded from 16-bit PCM comes back bit for bit. Rounding also takes away
    the last bits in which resamplers differ between processors, so that hashes agree.

    Parameters
    ----------
    samples : array of float32, any shape
        Finite samples.
    """
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    pcm: npt.NDArray[np.int16] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm


def to_float32(pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Scale 16-bit PCM to [-1, 1)."""
    return pcm.astype(np.float32) / np.float32(FULL_SCALE)


def pcm_sha256(pcm: npt.NDArray[np.int16]) -> str:
    """Return the SHA-256 of the samples as little-endian 16-bit integers."""
    return hashlib.sha256(pcm.astype("<i2", copy=False).tobytes()).hexdigest()


def root_mean_square(samples: npt.NDArray[np.float32]) -> float:
    """Return the RMS of a waveform in full-scale units, summed in float64."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
