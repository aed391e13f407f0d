"""One golden case: inputs, weights and expected results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from bat.errors import BatError


@dataclass(frozen=True)
class GoldenCase:
    """A case of tensors; it remembers which of them have been asked for.

    Attributes
    ----------
    name : str
        File name without extension; its first words say what the case computes.
    tensors : dict of Tensor
    metadata : dict
        Settings that no tensor's shape tells, e.g. the number of heads.
    """

    name: str
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    _asked: set[str] = field(default_factory=set)

    def tensor(self, name: str) -> Tensor:
        """Return one tensor; raise BatError if the case has none of that name."""
        if name not in self.tensors:
            raise BatError(f"tensor {name} is missing")
        self._asked.add(name)
        return self.tensors[name]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with a prefix, named without it."""
        return {
            name.removeprefix(prefix): self.tensor(name)
            for name in self.tensors
            if name.startswith(prefix)
        }

    def setting(self, key: str) -> Any:
        """Return one value of the metadata; raise BatError if it is missing."""
        return member(self.metadata, key)

    def unread(self) -> list[str]:
        """Return the names of tensors that nothing asked for: what they pin went unchecked."""
        return sorted(self.tensors.keys() - self._asked)


def read_tensors(path: Path) -> GoldenCase:
    """Read a safetensors file whose metadata values are JSON.

    Raises
    ------
    BatError
        If the file is absent or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise BatError(f"expected a safetensors file, found: {error}") from error
    return GoldenCase(path.stem, tensors, {k: parse_json(v, k) for k, v in metadata.items()})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raise BatError if it is absent or damaged."""
    try:
        content = parse_json(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise BatError(f"{path.name}: expected a JSON file, found: {error}") from error
    if not isinstance(content, dict):
        raise BatError(f"{path.name}: expected a JSON object, found {type(content).__name__}")
    return content


def parse_json(text: str, name: str) -> Any:
    """Parse JSON; raise BatError that names the text if it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BatError(f"{name}: expected JSON, found: {error}") from error


def member(content: Mapping[str, Any], *keys: str) -> Any:
    """Return a value of nested JSON objects; raise BatError that names it if it is missing."""
    value: Any = content
    for depth, key in enumerate(keys, start=1):
        if not isinstance(value, Mapping) or key not in value:
            raise BatError(f"{'.'.join(keys[:depth])} is missing")
        value = value[key]
    return value


def refuse_unknown(found: Mapping[str, Any], known: set[str]) -> None:
    """Raise BatError if a JSON object holds what nothing would check."""
    if unknown := sorted(found.keys() - known):
        raise BatError(f"expected {', '.join(sorted(known))}, found {', '.join(unknown)} besides")
