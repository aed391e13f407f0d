"""Front ends: waveform in, spectrogram out."""

from collections.abc import Iterator

from torch import Tensor

from bat.audio.frontends import build, pad_frames, pad_waveform
from bat.conformance.case import GoldenCase
from bat.conformance.checks import Check, absolute
from bat.errors import BatError

# Largest absolute difference. The values span [0, 1], or are standardised to a unit or so.
TOLERANCE = 1e-4
HOP = 160
# Speech Commands: a shorter recording is filled up to one second at 16 kHz.
SPEECH_COMMAND_SAMPLES = 16_000
# Statistics of AudioSet's filter banks with which the legacy vectors are standardised.
LEGACY_STATISTICS = {
    "eat": ("legacy", {"mean": -4.59864076, "std": 4.357353477}),
    "beats": ("beats", {"mean": 15.41663, "std": 6.55582}),
}


def padded_spectrogram(case: GoldenCase) -> Iterator[Check]:
    """Scale first, then zero-pad the frames (pretraining, ESC-50)."""
    waveform, expected = _tensors(case)
    yield _compare(waveform, expected)


def padded_waveform(case: GoldenCase) -> Iterator[Check]:
    """Zero-pad the waveform to all frames first (AudioSet downstream).

    The shortest waveform of T frames has (T - 1) * hop samples: 163,680 for 1,024 frames.
    """
    waveform, expected = _tensors(case)
    yield _compare(pad_waveform(waveform, (expected.shape[2] - 1) * HOP), expected)


def speech_commands(case: GoldenCase) -> Iterator[Check]:
    """Zero-pad the waveform to a second, then the frames to whole patches."""
    waveform, expected = _tensors(case)
    # Vectors of less than a second of frames cannot have been filled up to one.
    whole_second = expected.shape[2] * HOP > SPEECH_COMMAND_SAMPLES
    samples = SPEECH_COMMAND_SAMPLES if whole_second else 0
    yield _compare(pad_waveform(waveform, samples), expected)


def legacy(case: GoldenCase) -> Iterator[Check]:
    """Compare the filter banks of EAT and BEATs, standardised with AudioSet's statistics."""
    waveform = case.tensor("waveform")
    for tensor, (name, statistics) in LEGACY_STATISTICS.items():
        expected = case.tensor(tensor)
        frontend = build(name, mel_bins=expected.shape[-1], **statistics)
        found = frontend(waveform)[:, 0]
        # A single clip stands without its batch axis.
        yield absolute(tensor, found[0] if expected.ndim == 2 else found, expected, TOLERANCE)


def _tensors(case: GoldenCase) -> tuple[Tensor, Tensor]:
    """Return the waveform [B, samples] and the expected spectrogram [B, 1, T, F]."""
    expected = case.tensor("spectrogram")
    if expected.ndim != 4:
        raise BatError(f"spectrogram: expected [B, 1, T, F], found {list(expected.shape)}")
    return case.tensor("waveform"), expected


def _compare(waveform: Tensor, expected: Tensor) -> Check:
    spectrogram = build("bat", mel_bins=expected.shape[3])(waveform)
    found = pad_frames(spectrogram, patch_size=1, min_frames=expected.shape[2])
    return absolute("spectrogram", found, expected, TOLERANCE)
