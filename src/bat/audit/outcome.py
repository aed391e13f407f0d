"""What a rerun found, as it is kept and as certificates hand it on."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from bat.durable import flush
from bat.errors import BatError
from bat.provenance.hashing import canonical_json, digest

RERUNS = Path("results/audit/reruns")
Compared = Literal["bytes", "tolerance", "form", "nothing"]
Result = Literal["identical", "within tolerance", "same form", "different", "not rerun"]
# What two machines or installations differ in, of what a run log says.
_ENVIRONMENT = ("host", "system", "python", "cpu", "cores", "threads", "gpu")
_HARDWARE = ("cpu", "gpu", "threads")


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileOutcome(_Kept):
    """One output: its hash on record, those of its rebuilds, and where they first differ."""

    name: str
    sha256: str
    rebuilt: list[str]
    difference: str | None


class RecordOutcome(_Kept):
    """What became of one recorded job.

    Attributes
    ----------
    folder, stage, record
        Where it lies, its stage, and the id of its recipe.
    determinism
        The declared class.
    compared, because
        What was compared, and why, where it is less than the class promises or nothing.
    result
        The outcome; ``different`` is a failure.
    difference
        The first one that is not allowed.
    files
        Every output.
    recipe
        Where the rebuilt recipe differs, which it must not.
    other_code
        Modules that are not those on record.
    other_environment
        Whether the lock file is not the one on record.
    environment
        What the run logs differ in: on record, and here.
    here
        The run log of the first rebuild.
    wall_s
        Seconds that the rebuilds took.
    """

    folder: str
    stage: str
    record: str
    determinism: str
    compared: Compared
    because: str | None
    result: Result
    difference: str | None
    files: list[FileOutcome]
    other_code: list[str]
    other_environment: bool
    environment: dict[str, list[Any]]
    here: dict[str, Any]
    wall_s: float

    @property
    def holds(self) -> bool:
        """Whether the job was done again and the class that it declares was kept."""
        return self.result not in ("different", "not rerun")


class Outcome(_Kept):
    """What a rerun found.

    Attributes
    ----------
    asked
        What was to be rerun, as the user said it.
    chain
        Whether everything behind it was rerun too.
    times
        Number of rebuilds of each record.
    code
        Commit of the code that rebuilt, and whether the tree differed from it.
    """

    format: Literal[1] = 1
    asked: str
    chain: bool
    times: int
    started: str
    finished: str
    code: dict[str, Any]
    records: list[RecordOutcome]

    @property
    def failures(self) -> list[RecordOutcome]:
        """Records that broke their class."""
        return [one for one in self.records if one.result == "different"]


def store(outcome: Outcome, folder: Path = RERUNS) -> Path:
    """Keep an outcome as a file of its own, whole or not at all; none is ever overwritten."""
    content = outcome.model_dump(mode="json")
    stamp = datetime.fromisoformat(outcome.finished).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stamp}-{digest(content)[:12]}.json"
    write_once(path, canonical_json(content))
    return path


def write_once(path: Path, text: str) -> None:
    """Write a new file, complete and flushed before it has its name.

    Raises
    ------
    BatError
        Where the file is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        draft.write_text(text, encoding="utf-8")
        flush(draft)
        os.link(draft, path)
    except FileExistsError:
        raise BatError(f"{path}: is there already; nothing is overwritten") from None
    finally:
        draft.unlink(missing_ok=True)
    flush(path.parent)


def read_outcomes(folder: Path = RERUNS) -> Iterator[tuple[Path, Outcome]]:
    """Yield the outcomes that were kept, oldest first.

    Raises
    ------
    BatError
        Where a file is something else.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            yield path, Outcome.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = str(error.errors()[0]["msg"])
            raise BatError(f"{path}: not the outcome of a rerun: {first}") from None


def environment_difference(
    recorded: Mapping[str, Any], here: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Say what two run logs differ in: name to the value on record and the one here."""
    then, now = _flat(recorded), _flat(here)
    return {
        name: [then.get(name), now.get(name)]
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    }


def same_hardware(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Say why bits may differ from those of another run; None where they may not."""
    for name in _HARDWARE:
        if recorded.get(name) != here.get(name) or name not in recorded:
            then = recorded.get(name, "not known")
            return f"{name} on record: {then}, here: {here.get(name)}"
    return None


def _flat(log: Mapping[str, Any]) -> dict[str, Any]:
    packages = log.get("packages") or {}
    return {name: log[name] for name in _ENVIRONMENT if name in log} | {
        f"package {name}": version for name, version in packages.items()
    }


def now() -> str:
    """Return the time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
