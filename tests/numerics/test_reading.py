"""Probes of cached tokens compute where the device is, on a machine without a GPU too."""

import pytest
import torch

from bat.models.tokens import Tokens
from bat.params import load
from bat.stages.reading import cached
from pipeline.tiny import REPOSITORY

SMALL = load(REPOSITORY / "params.yaml").probes


@pytest.mark.parametrize("name", SMALL)
def test_head_and_features_meet_on_the_device(name, monkeypatch):
    # Shapes without values: a device of its own, which like a GPU refuses what lies in memory.
    monkeypatch.setattr(cached, "device", lambda: torch.device("meta"))
    tokens = Tokens(cls=torch.randn(2, 5, 12).half(), patches=torch.randn(2, 5, 12, 3, 2).half())
    reader = cached.CachedTokens(tokens)
    head = reader.head(SMALL[name], classes=4, frame_wise=False)
    logits = head.classify(reader.feed(head)(torch.tensor([0, 3])))
    assert (logits.shape, logits.device.type) == ((2, 4), "meta")
