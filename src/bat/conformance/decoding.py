"""Decoding: from frame-wise probabilities to events, from character scores to text."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from bat.conformance.case import member, refuse_unknown
from bat.conformance.checks import Check, absolute
from bat.errors import BatError
from bat.evaluation.decoding import ctc_text, decode_events

# Largest difference of an onset or offset, in seconds: frames are far longer.
TOLERANCE_S = 1e-6


def decoding(content: Mapping[str, Any]) -> Iterator[Check]:
    """Compare the events and the texts that scores are decoded to."""
    refuse_unknown(content, {"sed", "ctc", "vocabulary"})
    yield from _events(member(content, "sed"))
    yield from _texts(member(content, "ctc"), member(content, "vocabulary"))


def _events(section: Mapping[str, Any]) -> Iterator[Check]:
    expected = member(section, "events_s")
    classes = [str(index) for index in range(len(expected))]
    found = decode_events(
        np.array(member(section, "probabilities")).T,
        frame_s=member(section, "patch_stride_ms") / 1000,
        threshold=member(section, "threshold"),
        median_filter=member(section, "median_filter"),
        classes=classes,
    )
    for label, spans in zip(classes, expected, strict=True):
        own = sorted((event.onset_s, event.offset_s) for event in found if event.label == label)
        if len(own) != len(spans):
            raise BatError(f"sed, class {label}: expected {len(spans)} events, found {len(own)}")
        spans_E2 = torch.tensor(sorted(spans), dtype=torch.float64).view(-1, 2)
        own_E2 = torch.tensor(own, dtype=torch.float64).view(-1, 2)
        yield absolute(f"sed.events_s.{label}", own_E2, spans_E2, TOLERANCE_S)


def _texts(section: Mapping[str, Any], vocabulary: list[str]) -> Iterator[Check]:
    argmaxes, texts = member(section, "argmax"), member(section, "text")
    if len(argmaxes) != len(texts):
        raise BatError(f"ctc: expected {len(argmaxes)} texts, found {len(texts)}")
    for index, (argmax, text) in enumerate(zip(argmaxes, texts, strict=True)):
        logits_TV = np.eye(len(vocabulary))[argmax]
        found = ctc_text(logits_TV, vocabulary)
        yield Check(what=f"ctc.text.{index}", error=float(found != text), tolerance=0.0)
