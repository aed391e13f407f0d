"""Which code a stage runs: the import closure of its module, hashed file by file.

Snakemake does not notice a changed Python module. The closure is read from the source text with
:mod:`ast`, so that nothing is imported (no torch) and imports inside functions count too. Modules
that a registry loads by name (probes, for instance) are given as further roots.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bat.provenance.hashing import sha256_of_file

_PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
_PACKAGE = _PACKAGE_FOLDER.name


def code_of(roots: Iterable[str]) -> dict[str, str]:
    """Hash every module of this package that the root modules import, directly or not.

    Parameters
    ----------
    roots
        Dotted module names, for example ``bat.stages.probe``.

    Returns
    -------
    dict
        Module name to SHA-256 of its source, sorted by name.
    """
    pending, seen = list(roots), set[str]()
    while pending:
        module = pending.pop()
        if module not in seen:
            seen.add(module)
            pending.extend(_imports_of(module))
    return {module: sha256_of_file(_source_of(module)) for module in sorted(seen)}


def _source_of(module: str) -> Path:
    base = _PACKAGE_FOLDER.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _is_module(name: str) -> bool:
    return (name == _PACKAGE or name.startswith(_PACKAGE + ".")) and _source_of(name).is_file()


@cache
def _imports_of(module: str) -> frozenset[str]:
    """Modules of this package that ``module`` names, and the packages around it."""
    found = {module.rsplit(".", 1)[0]} if "." in module else set()
    for node in ast.walk(ast.parse(_source_of(module).read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if _is_module(name))
