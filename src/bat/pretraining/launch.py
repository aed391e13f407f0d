"""Start the ranks of a training on this machine: torchrun, with exit statuses that mean something.

torchrun itself ends with status 1 whatever its ranks end with, gives them half a minute to stop,
and dies of SIGUSR1. Started from here it passes SIGUSR1 on, waits for the checkpoint, and an
interrupted training ends with ``INTERRUPTED`` as one of a single process does.
"""

import logging
import sys
from collections.abc import Sequence
from uuid import uuid4

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bat.errors import BatError
from bat.runtime import INTERRUPTED

_LOG = logging.getLogger(__name__)
_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
# For the end of a step and a checkpoint on a slow disk; SIGKILL comes after it.
_SHUTDOWN_TIMEOUT_S = 300


def launch(ranks: int, arguments: Sequence[str]) -> None:
    """Run a command of ``bat`` as so many ranks, and wait for them.

    Parameters
    ----------
    ranks : int
        Processes; on a machine with GPUs one for each.
    arguments : sequence of str
        The command's arguments, without the program.

    Raises
    ------
    BatError
        If a rank fails; the others are ended.
    SystemExit
        With status ``INTERRUPTED`` if the ranks were told to stop.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # what failed once by itself fails again; the workflow decides
        signals_to_handle=_SIGNALS,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "bat", *arguments)
    except SignalException as signalled:
        _LOG.warning("pretraining: all ranks ended after %s", signalled.sigval.name)
        raise SystemExit(INTERRUPTED) from None
    except ChildFailedError as failed:
        if all(failure.exitcode == INTERRUPTED for failure in failed.failures.values()):
            raise SystemExit(INTERRUPTED) from None
        rank, first = failed.get_first_failure()
        how = f"status {first.exitcode}" if first.exitcode >= 0 else f"signal {-first.exitcode}"
        raise BatError(
            f"pretraining: rank {rank} of {ranks} ended with {how} and the others were stopped; "
            "the messages above say why; run the same command again to go on from the last "
            "checkpoint"
        ) from None
