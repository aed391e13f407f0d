"""The recipe of a job: everything that determines its outputs, and the hashes of both.

One job writes one folder, and in it one ``recipe.json``. A recipe holds no time, host or absolute
path, so that the same work gives the same bytes anywhere; those stand in ``run.json`` beside it.
A recipe's id is the SHA-256 of its bytes. It names the ids of the recipes that made its inputs, so
that one id pins a whole chain down to the source archive.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bat.errors import BatError
from bat.provenance.hashing import canonical_json, sha256_of_file

RECIPE = "recipe.json"
RUN_LOG = "run.json"


class OutputFile(BaseModel):
    """A file that a job wrote; ``name`` is relative to the recipe's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    sha256: str
    bytes: int


class InputFile(BaseModel):
    """A file that a job read; ``recipe`` is the id of the recipe of the job that made it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: str
    path: str
    sha256: str
    recipe: str


class Recipe(BaseModel):
    """What a job did, without when and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int
    stage: str
    selection: dict[str, str]
    settings: dict[str, Any]
    inputs: list[InputFile]
    outputs: list[OutputFile]
    code: dict[str, str]
    environment_lock: str
    determinism: str
    wanted: str

    def text(self) -> str:
        """Return the bytes of ``recipe.json`` as text."""
        return canonical_json(self.model_dump(mode="json"))

    @cached_property
    def id(self) -> str:
        """SHA-256 of the recipe, the name under which results cite it."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def output(self, name: str) -> OutputFile | None:
        """Return the entry of an output file, or None where the job did not write it."""
        return next((output for output in self.outputs if output.name == name), None)


def how_to_rebuild(path: Path) -> str:
    """Say how to make a file anew, and what depends on it."""
    target = "results/tables/main.csv"
    return f"rebuild it: snakemake --cores 2 --forcerun {path} -- {target}"


def read_recipe(folder: Path) -> Recipe:
    """Read the recipe of the job that wrote ``folder``.

    Raises
    ------
    BatError
        Where there is none, or where it is damaged.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise BatError(f"{folder}: has no {RECIPE}: its job did not finish; {how_to_rebuild(path)}")
    # Bytes, not text: reading text would forgive other line ends.
    found = path.read_bytes()
    try:
        recipe = Recipe.model_validate(json.loads(found.decode("utf-8")))
        expected = recipe.id
    except ValueError as error:  # not UTF-8, not JSON, not a recipe, or a number JSON cannot hold
        raise BatError(f"{path}: not a recipe: {' '.join(str(error).split())}") from None
    if hashlib.sha256(found).hexdigest() != expected:
        raise BatError(f"{path}: was edited: its text is not the canonical text of its content")
    return recipe


def verify_file(path: Path, recipe: Recipe) -> str:
    """Hash a file and compare it with the recipe of its maker; return the hash.

    Raises
    ------
    BatError
        Naming the file, the expected and the found hash.
    """
    output = recipe.output(path.name)
    if output is None:
        raise BatError(f"{path}: the recipe beside it (stage {recipe.stage}) did not make it")
    found = sha256_of_file(path) if path.is_file() else None
    wrong = difference(path, recipe.stage, output.sha256, found)
    if wrong is not None:
        raise BatError(wrong)
    return output.sha256


def difference(path: Path, stage: str, expected: str, found: str | None) -> str | None:
    """Say what is wrong with a file that a stage made; None if nothing is.

    Parameters
    ----------
    expected, found
        SHA-256 that the recipe has, and that of the file; None where there is no file.
    """
    if found == expected:
        return None
    if found is None:
        return f"{path}: is missing; expected sha256 {expected}"
    return (
        f"{path}: changed after stage {stage} made it: expected sha256 {expected}, found {found}; "
        f"restore it, or {how_to_rebuild(path)}"
    )
