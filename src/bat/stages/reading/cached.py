"""Probes on cached tokens."""

import torch
from torch import Tensor

from bat.data.clips import Clips
from bat.data.shards import read_tokens
from bat.models.tokens import Tokens
from bat.params.methods import Probe as ProbeSettings
from bat.probes.base import Probe
from bat.probes.training import Feed, features_of
from bat.provenance.job import Job
from bat.settings import ProbeSettings as JobSettings
from bat.stages.device import device
from bat.stages.reading import Reader
from bat.stages.reading.heads import build_head


def open_readers(job: Job, clips: Clips, settings: JobSettings) -> dict[str, Reader]:
    """Open the token shards of a job, one for each pretraining group."""
    readers: dict[str, Reader] = {}
    for path in job.paths("tokens"):
        shard = read_tokens(path)
        clips.check_order(shard.clip_ids, path)
        group = job.maker(path).selection["group"]
        readers[group] = CachedTokens(Tokens(shard.cls, shard.patches))
    return readers


class CachedTokens(Reader):
    """Tokens of all clips of a task from one encoder."""

    def __init__(self, tokens: Tokens) -> None:
        self.depth, self.width = tokens.cls.shape[0], tokens.cls.shape[2]
        self._tokens = tokens
        self._features: Tensor | None = None

    def head(self, probe: ProbeSettings, classes: int, *, frame_wise: bool) -> Probe:
        """Build a probe of these tokens."""
        head = build_head(
            probe, depth=self.depth, width=self.width, classes=classes, frame_wise=frame_wise
        )
        return head.to(device())

    def feed(self, head: torch.nn.Module) -> Feed:
        """Compute the head's features of all clips once, for all runs of a job.

        They come before the first trained parameter, so that every run shares them.
        """
        assert isinstance(head, Probe)
        if self._features is None:
            self._features = features_of(head, self._tokens)
        features = self._features

        def of(clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
            return features[clips].to(device())

        return of

    def time_patches(self, clips: Tensor) -> Tensor:
        """Return the number of time patches of clips, [B]."""
        return torch.full((len(clips),), self._tokens.patches.shape[3])
