"""Variants of a probe: a named probe with one of its settings changed.

``cgp@prototypes=64`` is the probe ``cgp`` of the parameters with 64 prototypes. The figures are
made of such variants; a variant is a job like any other and has its own recipe.
"""

from bat.params import Params


def variant(params: Params, task: str, probe: str, key: str, value: int) -> str:
    """Return the name of a probe with one setting changed; its own where nothing changes."""
    unchanged = getattr(params.probe_of(task, probe), key) == value
    return probe if unchanged else f"{probe}@{key}={value}"


def sweep_methods(params: Params, task: str) -> dict[str, int]:
    """Return the methods of the prototype sweep on a task with their numbers of prototypes."""
    sweep = params.figures.sweep
    if sweep is None:
        return {}
    return {variant(params, task, sweep.probe, "prototypes", n): n for n in sweep.prototypes}


def block_methods(params: Params, task: str, model: str) -> list[str]:
    """Return the linear probe of every block of a model, first block first.

    Blocks count from the end, as the probe of the table does, so that its last block is that probe.
    """
    figure = params.figures.blocks
    if figure is None:
        return []
    depth = params.models[model].encoder.depth
    assert depth is not None  # the parameters make sure of it
    return [
        variant(params, task, figure.linear_probe, "block", block) for block in range(-depth, 0)
    ]
