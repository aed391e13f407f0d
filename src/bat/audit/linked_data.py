"""Linked data in the form of an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1)."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_NEW_TERMS = (
    "ParameterConnection", "connection", "environment", "resourceUsage", "sha256",
    "sourceParameter", "targetParameter",
)  # fmt: skip
CONTEXT = [f"{SPECIFICATION}/context", {term: _TERMS + term for term in _NEW_TERMS}]
Entity = dict[str, Any]
Ref = dict[str, str]


def ref(identifier: str) -> Ref:
    """Return a reference to an entity."""
    return {"@id": identifier}


def file_id(path: Path | str) -> str:
    """Return the id of a file in the crate: its path, percent-encoded as URIs want it."""
    return quote(Path(path).as_posix(), safe="/")


def named_by_hash(sha256: str) -> str:
    """Return the id of a file that is not in the crate: its hash, as a URI (RFC 6920)."""
    value = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{value}"


@dataclass
class Graph:
    """The entities of a crate, each once, in the order in which they were added."""

    entities: dict[str, Entity] = field(default_factory=dict)
    _links: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> Ref:
        """Add an entity unless it is there, and return a reference to it."""
        entity = {"@id": identifier, "@type": kind}
        entity |= {name: value for name, value in properties.items() if value not in (None, [])}
        self.entities.setdefault(identifier, entity)
        return ref(identifier)

    def link(self, identifier: str, name: str, target: Ref) -> None:
        """Add a reference to an entity's property, which becomes a list."""
        link = (identifier, name, target["@id"])
        if link not in self._links:
            self._links.add(link)
            self.entities[identifier].setdefault(name, []).append(target)

    def document(self) -> dict[str, Any]:
        """Return the crate's metadata as a plain value."""
        return {"@context": CONTEXT, "@graph": [_compact(e) for e in self.entities.values()]}


def _compact(entity: Entity) -> Entity:
    """Write a list of one value as the value, which is how JSON-LD compacts it."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in entity.items()
    }
