"""What SLURM says of jobs, put so that Snakemake's SLURM plugin understands every end of a job.

The plugin asks for the state of all its jobs in one query and waits for a word that it knows as
an end. Three ends have others, and it would wait for ever (seen with version 2.8.0): ``CANCELLED
by 1000`` of sacct; ``PREEMPTED`` where a partition preempts by cancelling; and no word at all for a
job that SLURM has forgotten, as it does after ``MinJobAge`` seconds where there is no accounting.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from bat.errors import BatError

States = dict[str, str]
Query = Callable[[str, Any], Awaitable[tuple[States | None, float | None]]]
# A requeued job may show its preemption, or nothing, for one answer.
_PATIENCE = 2


class Ends:
    """The answers so far, and what the newest means."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._strange: Counter[str] = Counter()

    def settle(self, states: States) -> States:
        """Return an answer with every end in a word that the plugin knows.

        Parameters
        ----------
        states
            State of every job that SLURM still knows, by its number.

        Returns
        -------
        dict
            The same; ``CANCELLED`` for what will not be started again, and ``UNKNOWN`` for jobs
            that were forgotten: the plugin then looks whether their outputs are there.
        """
        missing = dict.fromkeys(self._seen - set(states), "UNKNOWN")
        self._seen |= set(states)
        strange = {job for job, state in states.items() if state == "PREEMPTED"} | set(missing)
        self._strange = Counter({job: self._strange[job] + 1 for job in strange})
        lost = {job for job, times in self._strange.items() if times >= _PATIENCE}
        settled = {
            job: "CANCELLED" if job in lost or state.startswith("CANCELLED") else state
            for job, state in states.items()
        }
        return settled | {job: state for job, state in missing.items() if job in lost}


def understand_every_end() -> None:
    """Let the plugin's status queries of this process go through :class:`Ends`.

    Raises
    ------
    BatError
        Where the plugin's version asks in another way.
    """
    import snakemake_executor_plugin_slurm as plugin  # asks SLURM for its settings on import

    query: Query | None = getattr(plugin, "query_job_status", None)
    if query is None:
        raise BatError(
            "this version of snakemake-executor-plugin-slurm asks for the state of jobs in another "
            "way than 2.8.0; install the version in requirements.lock"
        )
    ends = Ends()

    async def settled(command: str, logger: Any) -> tuple[States | None, float | None]:
        states, seconds = await query(command, logger)
        return (None if states is None else ends.settle(states)), seconds

    vars(plugin)["query_job_status"] = settled
