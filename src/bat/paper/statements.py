"""What the paper says in words, as data: ``statements.yaml``."""

from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from ruamel.yaml import YAML


class _Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    text: str
    place: str


class MethodStatement(_Statement):
    """One method is better than others."""

    kind: Literal["methods"]
    better: str
    than: list[str]


class PairStatement(_Statement):
    """About two values of a parameter, where all else is the same."""

    parameter: str
    better: Any
    worse: Any
    fixed: dict[str, Any] = {}
    printed: list[tuple[str, str]] = []


class ModelStatement(PairStatement):
    """One value of a parameter gives better results than another."""

    kind: Literal["models"]


class PeakStatement(PairStatement):
    """One value of a parameter moves the peak to a later block."""

    kind: Literal["peaks"]


class PrototypeStatement(_Statement):
    """More prototypes give more, or ever less more."""

    kind: Literal["prototypes"]
    contrast: Literal["gain", "diminishing"]


Statement = Annotated[
    MethodStatement | ModelStatement | PeakStatement | PrototypeStatement,
    Field(discriminator="kind"),
]


def read_statements() -> list[Statement]:
    """Return the statements of ``statements.yaml``."""
    text = files("bat.paper").joinpath("statements.yaml").read_text(encoding="utf-8")
    content = YAML(typ="safe", pure=True).load(text)
    return TypeAdapter(list[Statement]).validate_python(content)
