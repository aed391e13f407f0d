"""Probes on the live encoder: nothing is cached, every step renders its clips anew."""

from typing import Any

import torch
from torch import Tensor, nn

from bat.data.clips import Clips
from bat.models.base import Encoder
from bat.models.checkpoint import InputScaling, read_encoder
from bat.params.methods import Compute, VisualQueryTuning
from bat.params.methods import Probe as ProbeSettings
from bat.probes.base import Probe
from bat.probes.training import Feed
from bat.probes.vqt import VisualQueryProbe
from bat.provenance.job import Job
from bat.settings import ProbeSettings as JobSettings
from bat.stages.device import autocast, device
from bat.stages.hearing import Inputs, open_inputs, padded
from bat.stages.reading import Reader
from bat.stages.reading.heads import build_head, options_of


def open_readers(job: Job, clips: Clips, settings: JobSettings) -> dict[str, Reader]:
    """Open the encoders of a job, one for each pretraining group."""
    inputs = open_inputs(job, clips, settings.hearing)
    readers: dict[str, Reader] = {}
    for path in job.paths("encoder"):
        encoder, scaling = read_encoder(path)
        readers[job.maker(path).selection["group"]] = LiveEncoder(
            encoder.to(device()), scaling, inputs, settings.minimum_frames, settings.compute
        )
    return readers


class LiveEncoder(Reader):
    """A frozen encoder and what it is fed."""

    def __init__(
        self,
        encoder: Encoder,
        scaling: InputScaling,
        inputs: Inputs,
        minimum_frames: int,
        compute: Compute,
    ) -> None:
        self.encoder = encoder.requires_grad_(False)
        self.scaling, self.inputs, self.minimum_frames = scaling, inputs, minimum_frames
        self.depth, self.width, self.compute = encoder.depth, encoder.width, compute

    def head(self, probe: ProbeSettings, classes: int, *, frame_wise: bool) -> nn.Module:
        """Build a probe of this encoder's tokens, or of queries inside it."""
        if isinstance(probe, VisualQueryTuning):
            encoder: Any = self.encoder  # the probe itself refuses what takes no queries
            head: nn.Module = VisualQueryProbe(encoder, classes=classes, **options_of(probe))
        else:
            head = build_head(
                probe, depth=self.depth, width=self.width, classes=classes, frame_wise=frame_wise
            )
        return head.to(device())

    def feed(self, head: nn.Module) -> Feed:
        """Return what renders and encodes clips for the head."""

        def of(clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
            heard = self.scaling(self.inputs(clips, generator).to(device()))
            heard = padded(heard, self.minimum_frames)
            if not isinstance(head, Probe):
                return heard
            precision = self.compute.evaluation if generator is None else self.compute.training
            with torch.no_grad(), autocast(precision):
                tokens = self.encoder(heard)
            return head.features(tokens.float())

        return of

    def time_patches(self, clips: Tensor) -> Tensor:
        """Return the number of time patches of clips, [B], padding of the batch left out."""
        frames = self.inputs.frames(clips).clamp(min=self.minimum_frames)
        return -(-frames // self.encoder.patch_size)
