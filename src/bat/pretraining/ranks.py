"""The processes that train one encoder together, started by torchrun or alone.

Gradients are summed explicitly, in one flat buffer of fixed order. ``DistributedDataParallel``
would hide the sum behind the backward pass, but it orders its buckets anew after the first step of
every process, and with more than two ranks the order decides how a ring rounds: a training that
goes on from a checkpoint would leave the path of one that was never interrupted.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from bat.errors import BatError
from bat.runtime import under_torchrun

_LOG = logging.getLogger(__name__)
# Ranks wait for rank 0 while it hashes its inputs, hours for AudioSet; once they train, a rank that
# says nothing for so long hangs. One that died is noticed at once, since its connections close.
_PATIENCE = timedelta(hours=24)
_TIMEOUT = timedelta(minutes=10)


class Ranks:
    """One process alone: nothing to sum, nothing to agree on."""

    rank = 0
    size = 1

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one type and device over all ranks, in place."""

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return which flags are set on any rank; every rank gets the same answer."""
        return list(flags)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank the values of rank 0, in place."""


class SeveralRanks(Ranks):
    """One process among several."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        # tensors of a GPU go through NCCL, those in memory through gloo
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        self._group = dist.new_group(backend=backend, timeout=_TIMEOUT)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one type and device over all ranks, in place."""
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._or_say_who_is_gone():
            dist.all_reduce(flat, group=self._group)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        summed = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), summed)

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return which flags are set on any rank; every rank gets the same answer."""
        found = torch.tensor(flags, dtype=torch.uint8)
        with self._or_say_who_is_gone():
            dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._group)
        return [bool(flag) for flag in found.tolist()]

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give every rank the values of rank 0, in place."""
        with self._or_say_who_is_gone():
            for tensor in tensors:
                dist.broadcast(tensor, src=0, group=self._group)

    @contextmanager
    def _or_say_who_is_gone(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise BatError(
                f"pretraining: rank {self.rank} of {self.size} lost another rank, which was "
                f"killed, failed or hung ({reason}); its own message says why; run the same "
                "command again to go on from the last checkpoint"
            ) from error


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the other ranks that torchrun started, and leave them in order at the end.

    Parameters
    ----------
    device : torch.device
        Where this rank computes.
    """
    if not under_torchrun():
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The environment says who the others are and where they meet.
    dist.init_process_group("gloo", timeout=_PATIENCE)
    ranks = SeveralRanks()
    _LOG.info("rank %d of %d on %s, process %d", ranks.rank, ranks.size, device, os.getpid())
    try:
        yield ranks
    except BatError:
        raise  # a rank is gone: to close the connections in order one would wait for it
    except SystemExit:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()
