"""Hashes of files and of plain values."""

import hashlib
import json
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

_scalar = json.JSONEncoder(allow_nan=False).encode


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """Write a plain value as JSON text that depends on nothing but the value.

    The text is that of :func:`json.dumps` with sorted keys, an indent of 1 and unescaped Unicode,
    which takes three times as long.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON cannot hold.
    """
    return _text(value, "\n") + "\n"


def _text(value: Any, newline: str) -> str:
    """Write a value; ``newline`` is a line end with the indent of the value's own lines."""
    inner = newline + " "
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict) and value:
        lines = [f"{_key(key)}: {_text(value[key], inner)}" for key in sorted(value)]
        return "{" + inner + f",{inner}".join(lines) + newline + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + inner + f",{inner}".join([_text(one, inner) for one in value]) + newline + "]"
    return _scalar(value)


def _key(key: Any) -> str:
    return encode_basestring(key if isinstance(key, str) else _scalar(key))


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
