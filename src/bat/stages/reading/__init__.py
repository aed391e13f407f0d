"""What a probe reads: cached tokens, or the live encoder.

Each module offers ``open_readers(job, clips, settings)``, one reader for each pretraining group.
The workflow names the module that a job needs, so that a probe of cached tokens does not depend on
the code of encoders and front ends.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bat.params.methods import Probe
from bat.probes.training import Feed


class Reader(ABC):
    """The frozen encoder of one pretraining group, as a probe sees it.

    Attributes
    ----------
    depth, width : int
        Blocks and width of the encoder.
    """

    depth: int
    width: int

    @abstractmethod
    def head(self, probe: Probe, classes: int, *, frame_wise: bool) -> torch.nn.Module:
        """Build a probe for this encoder, from torch's global random generator."""

    @abstractmethod
    def feed(self, head: torch.nn.Module) -> Feed:
        """Return what gives the head its features."""

    @abstractmethod
    def time_patches(self, clips: Tensor) -> Tensor:
        """Return the number of time patches of clips [B]."""
