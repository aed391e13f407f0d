"""Which family checks a case, by the case's name."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bat.conformance import (
    classification,
    decoding,
    encoders,
    frontends,
    heads,
    masking,
    pretraining,
    schedules,
)
from bat.conformance.case import GoldenCase
from bat.conformance.checks import Check
from bat.errors import BatError

TensorFamily = Callable[[GoldenCase], Iterable[Check]]
JsonFamily = Callable[[Mapping[str, Any]], Iterable[Check]]

# The number behind an encoder is its input's frames.
TENSOR_FAMILIES: dict[str, TensorFamily] = {
    r"frontend_(pretrain|esc50)": frontends.padded_spectrogram,
    r"frontend_audioset_downstream": frontends.padded_waveform,
    r"frontend_speech_commands": frontends.speech_commands,
    r"frontend_legacy": frontends.legacy,
    r"encoder_(bat|eat)_\d+": encoders.transformer_tokens,
    r"encoder_beats_\d+": encoders.beats_tokens,
    r"head_.+": heads.probe,
    r"model_vqt": heads.visual_queries,
    r"pretrain_step": pretraining.step,
    r"asymmetric_loss": classification.asymmetric,
    r"metrics_multilabel": classification.multilabel,
}
JSON_FAMILIES: dict[str, JsonFamily] = {
    "decoding": decoding.decoding,
    "schedules": schedules.schedules,
    "mask_statistics": masking.mask_statistics,
}


def tensor_family(name: str) -> TensorFamily:
    """Return what checks a case of tensors; raise BatError if nothing does."""
    for pattern, family in TENSOR_FAMILIES.items():
        if re.fullmatch(pattern, name):
            return family
    raise BatError("no check is known for a case of this name")


def json_family(name: str) -> JsonFamily:
    """Return what checks a JSON case; raise BatError if nothing does."""
    if name not in JSON_FAMILIES:
        raise BatError(f"no check is known; expected one of {', '.join(sorted(JSON_FAMILIES))}")
    return JSON_FAMILIES[name]
