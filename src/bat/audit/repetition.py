"""Whether rebuilds repeat a record as its stage declares."""

from pathlib import Path

from bat.audit.comparison import difference_of_values, first_difference, other_form, same_bytes
from bat.audit.outcome import (
    Compared,
    FileOutcome,
    RecordOutcome,
    Result,
    environment_difference,
    same_hardware,
)
from bat.audit.rebuild import Record, read_log
from bat.errors import BatError
from bat.provenance.determinism import EXACT
from bat.provenance.hashing import sha256_of_file
from bat.provenance.recipe import RECIPE, read_recipe

# Of a recipe: what other code or another environment changes, and what other bits do.
_OF_THE_CODE = {"code", "environment_lock", "wanted"}
_OF_THE_BITS = {"outputs"}
_WHOLE: dict[Compared, Result] = {
    "bytes": "identical",
    "tolerance": "within tolerance",
    "form": "same form",
}


def compare(record: Record, rebuilt: list[Path], wall_s: float) -> RecordOutcome:
    """Compare a record with its rebuilds, and these with one another.

    Parameters
    ----------
    rebuilt
        Folder of each rebuild.
    wall_s
        Seconds that they took.

    Raises
    ------
    BatError
        If the record names an unknown class of determinism.
    """
    recipe, here = record.recipe, read_log(rebuilt[0])
    compared, because = _how(record, read_log(rebuilt[0]))
    files = [_file(record, name, rebuilt, compared) for name in _names(record, rebuilt)]
    differences = [f"{file.name}: {file.difference}" for file in files if file.difference]
    differences += filter(None, [_recipe_difference(record, rebuilt[0], compared)])
    identical = all(set(file.rebuilt) == {file.sha256} for file in files)
    result: Result = "identical" if identical else _WHOLE[compared]
    return RecordOutcome(
        folder=record.folder.as_posix(),
        stage=recipe.stage,
        record=recipe.id,
        determinism=recipe.determinism,
        compared=compared,
        because=because,
        result="different" if differences else result,
        difference=differences[0] if differences else None,
        files=files,
        other_code=record.other_code(),
        other_environment=record.other_environment,
        environment=environment_difference(record.log, here),
        here=here,
        wall_s=wall_s,
    )


def _how(record: Record, here: dict[str, object]) -> tuple[Compared, str | None]:
    """Say what must agree with the record, and why, where it is less than the class promises."""
    match record.recipe.determinism:
        case "bitwise":
            return "bytes", None
        case "bitwise-same-hardware":
            because = same_hardware(record.log, here)
            return ("bytes", None) if because is None else ("tolerance", because)
        case "tolerance":
            return "tolerance", None
        case "stochastic":
            return "form", "the stage is declared stochastic"
    raise BatError(f"{record.folder}: unknown class of determinism {record.recipe.determinism!r}")


def _names(record: Record, rebuilt: list[Path]) -> list[str]:
    """Names of all outputs, of the record and of its rebuilds."""
    recipes = [record.recipe, *map(read_recipe, rebuilt)]
    return list(dict.fromkeys(output.name for recipe in recipes for output in recipe.outputs))


def _file(record: Record, name: str, rebuilt: list[Path], compared: Compared) -> FileOutcome:
    """Compare an output with its rebuilds, and these with one another."""
    on_record = record.recipe.output(name)
    paths = [folder / name for folder in rebuilt]
    hashes = [sha256_of_file(path) if path.is_file() else "" for path in paths]
    if on_record is None or not all(hashes):
        difference: str | None = "is not among the outputs of every run"
    elif set(hashes) == {on_record.sha256}:
        difference = None
    else:
        difference = _difference(record, record.base / record.folder / name, paths[0], compared)
        # Here is one machine: whatever is not declared to vary repeats itself to the bit.
        among = "bytes" if record.recipe.determinism.startswith("bitwise") else compared
        for number, path in enumerate(paths[1:], start=2):
            if difference is None and (found := _difference(record, paths[0], path, among)):
                difference = f"rebuild {number} differs from rebuild 1, here on record: {found}"
    return FileOutcome(
        name=name,
        sha256=on_record.sha256 if on_record else "",
        rebuilt=hashes,
        difference=difference,
    )


def _difference(record: Record, one: Path, other: Path, compared: Compared) -> str | None:
    """Say how a file differs from another more than it may."""
    if not one.is_file():
        return "the original is not here, and its hash differs"
    if same_bytes(one, other):
        return None
    tolerance = EXACT if compared == "bytes" else record.tolerance(one.name)
    if compared == "form" or tolerance is None:
        return other_form(one, other)
    found = first_difference(one, other, tolerance)
    if found is None and compared == "bytes":
        return "the bytes differ, though the content is the same"
    return found


def _recipe_difference(record: Record, rebuilt: Path, compared: Compared) -> str | None:
    """Say where the rebuilt recipe differs in what it must repeat."""
    ignored = set(_OF_THE_CODE) if record.other_code() or record.other_environment else set()
    ignored |= set() if compared == "bytes" else _OF_THE_BITS
    one, other = (
        recipe.model_dump(mode="json", exclude=ignored)
        for recipe in (record.recipe, read_recipe(rebuilt))
    )
    found = difference_of_values(one, other)
    return None if found is None else f"{RECIPE}: {found}"
