"""Checks that each record is the one that the experiment asks for: what hashes do not tell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bat.audit.experiment import AUDIT, TABLES, Experiment
from bat.errors import BatError
from bat.provenance.graph import Problem
from bat.provenance.recipe import RECIPE, RUN_LOG, Recipe
from bat.workflow import Plan, wanted_digest

_VERIFIED = AUDIT / "verified.json"
_DIFFERENCES_SHOWN = 3
_LETTERS_SHOWN = 60


def check_records(experiment: Experiment) -> Iterator[Problem]:
    """Check place, parameters, inputs, run log and folder of every record."""
    for folder, recipe in experiment.recipes.items():
        if not experiment.in_place(folder):
            yield Problem(
                kind="place",
                path=folder,
                message=f"{folder}: holds the record of another job: {_job(recipe)}",
                spoils=(folder,),
            )
            continue
        yield from _check_parameters(folder, recipe, experiment.plan)
        yield from _check_inputs(folder, recipe, experiment)
        yield from check_alone(folder, recipe)


def check_alone(folder: Path, recipe: Recipe) -> Iterator[Problem]:
    """Check of a record what can be checked without the parameters: run log and folder."""
    yield from _check_run_log(folder, recipe)
    yield from _check_folder(folder, recipe)


def check_audit(experiment: Experiment) -> Iterator[Problem]:
    """Check that the records are those that the audit stage verified before the table was made."""
    if not experiment.intact(_VERIFIED):
        return
    try:
        verified = dict(json.loads(_VERIFIED.read_text(encoding="utf-8"))["records"])
    except (ValueError, TypeError, KeyError):
        message = f"{_VERIFIED}: does not say which records were verified"
        yield Problem(kind="audit", path=_VERIFIED, message=message, spoils=(_VERIFIED,))
        return
    for folder, recipe in experiment.recipes.items():
        then = verified.get(folder.as_posix())
        if then is not None and then != recipe.id:
            yield Problem(
                kind="audit",
                path=folder,
                message=f"{folder}: the record was made anew after the audit before the table: "
                f"{then[:16]} then, {recipe.id[:16]} now",
                spoils=(folder,),
            )


def _job(recipe: Recipe) -> str:
    return " ".join([recipe.stage, *recipe.selection.values()])


def _check_parameters(folder: Path, recipe: Recipe, plan: Plan) -> Iterator[Problem]:
    """Compare a record's settings with what the parameters ask for now."""
    own = wanted_digest(recipe.stage, recipe.selection, recipe.settings, recipe.code)
    if own != recipe.wanted:
        yield Problem(
            kind="record",
            path=folder,
            message=f"{folder / RECIPE}: was edited: {recipe.wanted[:16]} is not the digest of its "
            f"settings and code, which is {own[:16]}",
            spoils=(folder,),
        )
    try:
        settings = plan.settings(recipe.stage, recipe.selection).model_dump(mode="json")
    except BatError as error:
        changed = [f"there is no such job any more: {error}"]
    else:
        changed = list(differences(recipe.settings, settings))
    if changed:
        # Which cells a table has is compared cell by cell; only statistics move all of them.
        moved = folder != TABLES or any(one.startswith("statistics") for one in changed)
        more = len(changed) - _DIFFERENCES_SHOWN
        shown = "; ".join(changed[:_DIFFERENCES_SHOWN]) + (f"; {more} more" if more > 0 else "")
        yield Problem(
            kind="parameters",
            path=folder,
            message=f"{folder}: was made with other parameters than {plan.path} has now: {shown}",
            spoils=(folder,) if moved else (),
        )


def differences(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """Say in which settings two plain values differ, each as ``name: then, now``."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            where = f"{name}.{key}" if name else key
            if key not in then or key not in now:
                yield f"{where}: {'is new' if key in now else 'is gone'}"
            else:
                yield from differences(then[key], now[key], where)
    elif then != now:
        yield f"{name}: {_shown(then)} then, {_shown(now)} now"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _LETTERS_SHOWN:
        return text
    return f"{len(value)} values" if isinstance(value, list) else f"{text[:_LETTERS_SHOWN]}..."


def _check_inputs(folder: Path, recipe: Recipe, experiment: Experiment) -> Iterator[Problem]:
    """Check that a job read what was made for it: of the same task, model, data set ..."""
    for known in recipe.inputs:
        maker = experiment.recipes.get(Path(known.path).parent)
        of_both = set(recipe.selection) & set(maker.selection) if maker else set()
        for key in sorted(of_both):
            assert maker is not None
            if maker.selection[key] != recipe.selection[key]:
                yield Problem(
                    kind="link",
                    path=folder,
                    message=f"{folder}: read {known.path}, which is of {key} "
                    f"{maker.selection[key]}, not {recipe.selection[key]}",
                    spoils=(folder,),
                )


def _check_run_log(folder: Path, recipe: Recipe) -> Iterator[Problem]:
    path = folder / RUN_LOG
    if not path.is_file():
        return  # a run log is no part of a result
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["recipe"]
    except (ValueError, TypeError, KeyError):
        told = None
    if told != recipe.id:
        yield Problem(
            kind="run log",
            path=path,
            message=f"{path}: is not of this record: it names "
            f"{str(told)[:16] if told else 'none'}, the record is {recipe.id[:16]}",
            spoils=(folder,),
        )


def _check_folder(folder: Path, recipe: Recipe) -> Iterator[Problem]:
    """Name what lies beside a job's outputs; pages and certificates lie beside the audit's."""
    if folder == AUDIT:
        return
    known = {RECIPE, RUN_LOG, *(output.name for output in recipe.outputs)}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            yield Problem(
                kind="unknown file",
                path=path,
                message=f"{path}: no record has it; no result depends on it; move it elsewhere",
            )


def other_code(experiment: Experiment) -> Iterator[str]:
    """Tell of records that were made with other code than there is now."""
    modules: set[str] = set()
    folders = 0
    for folder, recipe in experiment.recipes.items():
        if not experiment.in_place(folder):
            continue
        try:
            code = experiment.plan.code(recipe.stage, recipe.selection)
        except (BatError, KeyError):
            continue  # a job that is not asked for, which is told elsewhere
        if code != recipe.code:
            folders += 1
            pairs = {*code.items()} ^ {*recipe.code.items()}
            modules |= {name for name, _ in pairs}
    if folders:
        yield (
            f"{folders} of {len(experiment.recipes)} records were made with other code than this: "
            f"{', '.join(sorted(modules))}"
        )
