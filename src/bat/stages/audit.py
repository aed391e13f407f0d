"""Verify every record behind the results; the table is made only of what passed."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bat.data.clips import Clips, read_clips
from bat.errors import BatError
from bat.provenance.job import Job
from bat.provenance.lineage import verify_records
from bat.provenance.recipe import Recipe
from bat.settings import AuditSettings

DETERMINISM = "bitwise"


def run(job: Job, settings: AuditSettings) -> None:
    """Write ``verified.json``: how much was rehashed and which checks held.

    Raises
    ------
    BatError
        Naming the first file that does not match its record, or the first leak.
    """
    verified = verify_records(dict.fromkeys(path.parent for path in job.paths("results")))
    if verified.problems:
        first = verified.problems[0].message
        raise BatError(f"{len(verified.problems)} problems, the first: {first}")
    checked, unknown = _check_leaks(verified.recipes)
    job.write_json(
        "verified.json",
        {
            "records": {str(folder): recipe.id for folder, recipe in verified.recipes.items()},
            "files": verified.files,
            "bytes": verified.bytes,
            "runs_checked_for_leaks": checked,
            "runs_of_published_encoders": unknown,
            "groups": settings.model_dump(mode="json")["groups"],
        },
    )


def _check_leaks(recipes: Mapping[Path, Recipe]) -> tuple[int, int]:
    """Make sure that no run tests an encoder on a recording that it was pretrained on.

    Read from the records: which encoder a run used, which recordings that encoder heard, and which
    recordings the run's test clips are made of.

    Returns
    -------
    tuple of int
        Runs that were checked, and runs of published encoders, of which it is not known.
    """
    checked = unknown = 0
    for folder, recipe in sorted(recipes.items()):
        if recipe.stage not in ("probe", "finetune"):
            continue
        for one in recipe.settings["runs"]:
            heard = _heard_by(folder, recipes, one["group"])
            if heard is None:
                unknown += 1
                continue
            shared = sorted(heard & _tested_in(recipe, one["test"]))
            if shared:
                raise BatError(
                    f"{folder}: fold {one['fold']} tests an encoder on {len(shared)} recordings "
                    f"that it was pretrained on, the first is {shared[0]}"
                )
            checked += 1
    return checked, unknown


def _heard_by(folder: Path, recipes: Mapping[Path, Recipe], group: str) -> set[str] | None:
    """Collect what the encoder of a group heard, by following a record's inputs.

    None where it is a published encoder: what that heard is not on record here.
    """
    pending, heard = [folder], set[str]()
    while pending:
        here = pending.pop()
        recipe = recipes[here]
        if recipe.stage == "convert" and recipe.selection["group"] == group:
            return None
        if recipe.stage == "pretrain" and recipe.selection["group"] == group:
            heard |= set(json.loads((here / "clips.json").read_text())["recordings"])
        if recipe.selection.get("group", group) == group:
            pending.extend({Path(known.path).parent for known in recipe.inputs})
    if not heard:
        raise BatError(f"{folder}: no record says what the encoder of group {group} heard")
    return heard


def _tested_in(recipe: Recipe, parts: list[str]) -> set[str]:
    """Collect the recordings that the test clips of a fold, some parts, are made of."""
    (manifest,) = [known.path for known in recipe.inputs if known.role == "manifest"]
    clips = _clips(manifest)
    return set(clips.manifest[clips.of(parts)]["group"].explode().to_list())


@cache
def _clips(manifest: str) -> Clips:
    return read_clips(Path(manifest))
