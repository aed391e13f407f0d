"""Where the paper and its reference implementation disagree or leave a hole, as data.

Each difference says what either did, what follows from it, what this project does, and with which
parameters of ``config/paper.yaml`` either side can be run.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from ruamel.yaml import YAML

from bat.errors import BatError

Side = Literal["paper", "reference", "other"]
Text = Annotated[str, Field(min_length=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Switch(_Record):
    """A parameter that takes one side or another.

    Attributes
    ----------
    parameter : str
        Its key in ``config/paper.yaml``, with dots.
    values : dict
        Its value on each side; ``other`` is what neither paper nor reference is known to have.
    """

    parameter: Text
    values: Annotated[dict[Side, Any], Field(min_length=2)]


class Difference(_Record):
    """One difference between the paper and its reference implementation.

    Attributes
    ----------
    number : int
        From 1, in order.
    title : str
    paper, reference : str
        What either says or does.
    consequence : str
        What follows for results.
    choice : str
        What ``config/paper.yaml`` has.
    switches : list of Switch
        Parameters with which sides are chosen.
    unswitchable : str or None
        Where there is no such parameter, why.
    """

    number: Annotated[int, Field(ge=1)]
    title: Text
    paper: Text
    reference: Text
    consequence: Text
    choice: Text
    switches: list[Switch] = []
    unswitchable: Text | None = None

    @model_validator(mode="after")
    def _switchable_or_said_why(self) -> Self:
        if bool(self.switches) == bool(self.unswitchable):
            raise ValueError("either switches or unswitchable, not both and not neither")
        return self


def read_differences() -> list[Difference]:
    """Return all differences in the order of their numbers."""
    text = files("bat.paper").joinpath("differences.yaml").read_text(encoding="utf-8")
    content = YAML(typ="safe", pure=True).load(text)
    return TypeAdapter(list[Difference]).validate_python(content)


def value_at(content: object, parameter: str) -> Any:
    """Return the value of a key with dots in parameters as plain values; a list's key is an index.

    Raises
    ------
    BatError
        If there is no such key.
    """
    for key in parameter.split("."):
        if isinstance(content, Mapping) and key in content:
            content = content[key]
        elif isinstance(content, list) and key.isdigit() and int(key) < len(content):
            content = content[int(key)]
        else:
            raise BatError(f"{parameter}: no such parameter, {key!r} is not there")
    return content


def print_differences(
    differences: Sequence[Difference],
    *,
    experiment: object = None,
    console: Console | None = None,
) -> None:
    """Print differences, each under its title.

    Parameters
    ----------
    differences
        For example those of `read_differences`.
    experiment
        Parameters as plain values; what they have is shown beside the sides.
    console
        Where to; standard output by default.
    """
    console = console or Console()
    for difference in differences:
        console.print(f"{difference.number}. {difference.title}", style="bold", markup=False)
        console.print(Padding(_lines(difference, experiment), (0, 0, 1, 3)))


def _lines(difference: Difference, experiment: object) -> Table:
    lines = Table.grid(padding=(0, 2))
    for name in ("paper", "reference", "consequence", "choice", "unswitchable"):
        text = getattr(difference, name)
        if text is not None:
            lines.add_row(name, escape(text))
    for switch in difference.switches:
        lines.add_row("switch", escape(_sides(switch, experiment)))
    return lines


def _sides(switch: Switch, experiment: object) -> str:
    sides = [f"{side} {_shown(value)}" for side, value in switch.values.items()]
    with suppress(BatError):  # the experiment may have no such model or task
        sides.append(f"here {_shown(value_at(experiment, switch.parameter))}")
    return f"{switch.parameter}: {', '.join(sides)}"


def _shown(value: object) -> str:
    """Write a value as the parameter file has it."""
    return json.dumps(value) if isinstance(value, list) or value is None else str(value)
