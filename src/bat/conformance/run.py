"""Check a folder of golden cases, one outcome per case."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer

from bat.conformance.case import GoldenCase, member, read_json, read_tensors
from bat.conformance.checks import Check
from bat.conformance.registry import JSON_FAMILIES, json_family, tensor_family
from bat.errors import BatError

INDEX = "INDEX.json"
# What a damaged case makes of the code that computes it. It is that case's failure and must not
# hide the others.
_DAMAGE = (
    BatError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one case.

    Attributes
    ----------
    name : str
        The case.
    passed : bool
        Whether everything in it was compared and lay within its tolerance.
    error : float or None
        Largest error of the case, measured by its tolerance; None where nothing was compared.
    detail : str
        What that is the error of and its tolerance, or why the case could not be checked.
    """

    name: str
    passed: bool
    error: float | None
    detail: str


def check_folder(folder: Path) -> list[Outcome]:
    """Check all cases of a folder of golden vectors.

    Parameters
    ----------
    folder : Path
        ``INDEX.json`` lists the cases with the tensors' types and shapes; beside it lie
        ``{case}.safetensors`` with metadata whose values are JSON, and JSON cases, which the
        index need not list. Without an index every file counts as a case.

    Returns
    -------
    list of Outcome
        In the order of the index, files that it does not list last. A case that no check is
        known for, a file that the index does not list and a listed case without a file fail.

    Raises
    ------
    BatError
        If there is no such folder, it holds no case, or its index is damaged.
    """
    return list(_outcomes(folder, *_contents(folder)))


def print_report(folder: Path) -> None:
    """Print one line per case - name, largest error, pass or fail - and how many passed.

    Raises
    ------
    BatError
        If a case fails, or the folder cannot be checked at all; see ``check_folder``.
    """
    index, names = _contents(folder)
    width = max(map(len, names))
    failed = []
    for outcome in _outcomes(folder, index, names):
        error = "-" if outcome.error is None else f"{outcome.error:.1e}"
        verdict = "pass" if outcome.passed else "fail"
        typer.echo(f"{outcome.name:<{width}}  {error:>7}  {verdict}  {outcome.detail}")
        if not outcome.passed:
            failed.append(outcome.name)
    typer.echo(f"{len(names) - len(failed)} of {len(names)} cases passed")
    if failed:
        raise BatError(f"{folder}: {len(failed)} cases failed: {', '.join(failed)}")


def _contents(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the index, if there is one, and the names of all cases."""
    if not folder.is_dir():
        raise BatError(f"{folder}: expected a folder of golden vectors, found none")
    index = read_json(folder / INDEX) if (folder / INDEX).exists() else None
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    present = sorted(_case_name(path) for path in files if path.name != INDEX)
    names = list(dict.fromkeys([*(index or {}), *present]))
    if not names:
        raise BatError(f"{folder}: expected golden vectors, found an empty folder")
    return index, names


def _case_name(path: Path) -> str:
    return path.stem if path.suffix in (".safetensors", ".json") else path.name


def _outcomes(
    folder: Path, index: Mapping[str, Any] | None, names: Iterable[str]
) -> Iterator[Outcome]:
    for name in names:
        try:
            with _one_thread():
                checks = list(_checks(folder, index, name))
            yield _outcome(name, checks)
        except _DAMAGE as error:
            detail = " ".join(str(error).split())
            if not isinstance(error, BatError):
                detail = f"{type(error).__name__}: {detail}"
            yield Outcome(name=name, passed=False, error=None, detail=detail)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sum in the order of one thread, in which the published front ends come out bit for bit.

    What the clip's mean is rounded to depends on that order, and the logarithm of a nearly silent
    filter bank shows it: by half its tolerance on the published vector.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _checks(folder: Path, index: Mapping[str, Any] | None, name: str) -> Iterator[Check]:
    """Check one case, and that nothing in its file is left unchecked."""
    path = folder / f"{name}.json"
    if path.exists() or name in JSON_FAMILIES:
        yield from json_family(name)(read_json(path))
        return
    family = tensor_family(name)
    if not (path := folder / f"{name}.safetensors").exists():
        raise BatError(f"{path.name} is listed in {INDEX} but missing")
    case = read_tensors(path)
    if index is not None:
        case = _as_listed(case, index)
    yield from family(case)
    if unread := case.unread():
        raise BatError(f"no check is known for tensors {', '.join(unread)}")


def _as_listed(case: GoldenCase, index: Mapping[str, Any]) -> GoldenCase:
    """Return the case with the index's metadata too; raise BatError if the two contradict."""
    if case.name not in index:
        raise BatError(f"the file is not listed in {INDEX}")
    listed: Mapping[str, Any] = member(index, case.name, "tensors")
    for name in sorted(listed.keys() | case.tensors.keys()):
        if name not in case.tensors:
            raise BatError(f"tensor {name} is missing")
        if name not in listed:
            raise BatError(f"tensor {name} is not listed in {INDEX}")
        tensor = case.tensors[name]
        found = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        if found != listed[name]:
            raise BatError(f"tensor {name}: {INDEX} says {listed[name]}, found {found}")
    metadata: Mapping[str, Any] = member(index, case.name, "meta")
    for key in sorted(metadata.keys() & case.metadata.keys()):
        if metadata[key] != case.metadata[key]:
            raise BatError(f"{key}: {INDEX} says {metadata[key]}, found {case.metadata[key]}")
    return GoldenCase(case.name, case.tensors, {**metadata, **case.metadata})


def _outcome(name: str, checks: list[Check]) -> Outcome:
    if not checks:
        raise BatError("the case compares nothing")
    worst = max(checks, key=lambda check: check.severity)
    return Outcome(
        name=name,
        passed=all(check.passed for check in checks),
        error=worst.error,
        detail=f"{worst.what}, tolerance {worst.tolerance:g}",
    )
