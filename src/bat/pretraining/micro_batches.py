"""How a global batch is divided: into micro-batches of one size, shared out among ranks."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from bat.errors import BatError

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What one forward and backward pass needs.

    Attributes
    ----------
    spectrogram : Tensor [b, 1, time, mel]
    keep_BVn : Tensor [b, V, n], int64
        Visible patches of V views per clip.
    generator : torch.Generator, optional
        Noise of the convolutional decoder, on the device of the model.
    """

    spectrogram: Tensor
    keep_BVn: Tensor  # noqa: N815
    generator: torch.Generator | None = None


@dataclass(frozen=True, kw_only=True)
class Division:
    """The division of a global batch.

    Attributes
    ----------
    size : int
        Clips of a micro-batch.
    count : int
        Micro-batches of a global batch, over all ranks.
    own : range
        Places of those that this rank passes through the model, one after the other.
    """

    size: int
    count: int
    own: range

    def clips(self, batch: Tensor, place: int) -> Tensor:
        """Return the clips of one micro-batch of a global batch [B]."""
        return batch[place * self.size : (place + 1) * self.size]


def divide(batch_size: int, micro_batch_size: int | None, *, rank: int, ranks: int) -> Division:
    """Divide a global batch: batch = ranks x accumulation x micro-batch.

    Parameters
    ----------
    batch_size : int
        Clips of the global batch.
    micro_batch_size : int, optional
        Clips of one pass; None is the whole batch, which only one rank can take.
    rank, ranks : int
        This rank and their number.

    Raises
    ------
    BatError
        Where the division has a remainder.
    """
    size = micro_batch_size or batch_size
    if batch_size % (size * ranks):
        raise BatError(
            "pretraining: expected batch_size = ranks x accumulation x micro_batch_size, found "
            f"batch_size {batch_size}, {ranks} ranks and micro_batch_size {micro_batch_size}"
            f"{' (the whole batch)' if micro_batch_size is None else ''}; change the number of "
            "ranks or micro_batch_size"
        )
    count = batch_size // size
    each = count // ranks
    return Division(size=size, count=count, own=range(rank * each, (rank + 1) * each))


def prepare_ahead(
    prepare: Callable[[K], T], keys: Iterable[K], *, workers: int
) -> Generator[T, None, None]:
    """Yield ``prepare(key)`` in the order of the keys, prepared by threads meanwhile.

    Threads, because reading and decoding release Python's lock, and what they prepare may lie on
    a GPU.

    Parameters
    ----------
    prepare
        Must not depend on the order of its calls.
    keys
    workers : int
        Threads; as many results wait. 0 prepares each when it is asked for.
    """
    if workers == 0:
        yield from map(prepare, keys)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        left = iter(keys)
        waiting = deque(pool.submit(prepare, key) for key in islice(left, workers))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(prepare, key) for key in islice(left, 1))
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)
