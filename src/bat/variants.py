"""Variants of a probe: a named probe with one of its settings changed.

``cgp@prototypes=64`` is the probe ``cgp`` of the parameters with 64 prototypes. The figures are
made of such variants; a variant is a job like any other and has its own recipe.
"""

from pydantic import TypeAdapter, ValidationError

from bat.errors import BatError
from bat.params import Params, Probe


def variant(params: Params, probe: str, key: str, value: int) -> str:
    """Return the name of a probe with one setting changed; its own where nothing changes."""
    unchanged = getattr(params.probes[probe], key) == value
    return probe if unchanged else f"{probe}@{key}={value}"


def sweep_methods(params: Params) -> dict[str, int]:
    """Return the methods of the prototype sweep with their numbers of prototypes."""
    sweep = params.figures.sweep
    return {variant(params, sweep.probe, "prototypes", n): n for n in sweep.prototypes}


def block_methods(params: Params, model: str) -> list[str]:
    """Return the linear probe of every block of a model, first block first.

    Blocks count from the end, as the probe of the table does, so that its last block is that probe.
    """
    probe, depth = params.figures.blocks.linear_probe, params.models[model].encoder.depth
    return [variant(params, probe, "block", block) for block in range(-depth, 0)]


def resolve(params: Params, method: str) -> Probe:
    """Return the settings of a probe or of a variant of one.

    Raises
    ------
    BatError
        Where the probe is not defined or the changed setting does not fit it.
    """
    name, at, change = method.partition("@")
    if name not in params.probes:
        raise BatError(f"unknown method {method!r}; known: {', '.join(params.probes)}")
    if not at:
        return params.probes[name]
    key, _, value = change.partition("=")
    try:
        content = params.probes[name].model_dump() | {key: int(value)}
        probe: Probe = TypeAdapter(Probe).validate_python(content)
    except ValidationError as error:
        raise BatError(f"{method}: {key}={value}: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise BatError(f"{method}: expected {name}@key=number") from None
    return probe
