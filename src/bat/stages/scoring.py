"""Use trained heads on the cached tokens of another manifest.

No job of the workflow, but held to the same rules: every file must match the record of the job that
made it, the tokens must be of the manifest's clips and of the encoder that the head was trained on,
and the head's classes must stand in the manifest's order, or are brought into it on request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bat.data.clips import Clips, read_clips
from bat.data.labels import mapping
from bat.data.shards import read_tokens
from bat.errors import BatError
from bat.evaluation.runs import run_metrics
from bat.models.tokens import Tokens
from bat.probes.base import Probe
from bat.probes.training import predict
from bat.provenance.hashing import canonical_json
from bat.provenance.recipe import InputFile, Recipe, read_recipe, verify_file
from bat.settings import Run
from bat.stages.device import autocast, device, set_precision
from bat.stages.head_files import (
    HeadsDescription,
    build_trained,
    encoder_behind,
    name_of,
    read_heads,
)
from bat.stages.reading.cached import CachedTokens
from bat.stages.targets import targets_of


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which heads are used on what.

    Attributes
    ----------
    heads, manifest, tokens
        Files, each beside the record of the job that made it.
    run
        One of the heads, as fold/seed; None takes all that were trained on the tokens' encoder.
    parts
        Parts of the manifest; () takes the test parts of each run.
    remap
        Whether a head of another order of classes may be used, class by class of the same name.
    """

    heads: Path
    manifest: Path
    tokens: Path
    run: str | None = None
    parts: Sequence[str] = ()
    remap: bool = False


def score(asked: Question) -> dict[str, Any]:
    """Measure trained heads on a manifest.

    Returns
    -------
    dict
        Plain values: the files, the classes, the comparison set, and of every run its metrics, its
        parts and its number of clips.

    Raises
    ------
    BatError
        If a file does not match its record; if the tokens are of other clips or of another
        encoder; if the classes differ, or stand in another order and `remap` is not asked for; or
        if there is no such run or part.
    """
    files = {role: getattr(asked, role) for role in ("heads", "manifest", "tokens")}
    records = {role: read_recipe(path.parent) for role, path in files.items()}
    inputs = [_verified(role, files[role], records[role]) for role in files]
    description, weights = read_heads(asked.heads)
    clips = read_clips(asked.manifest)
    places = mapping(description.label_order, clips.order, remap=asked.remap)
    runs = _runs(description, asked, encoder_behind(records["tokens"]))
    shard = read_tokens(asked.tokens)
    clips.check_order(shard.clip_ids, asked.tokens)
    reader = CachedTokens(Tokens(shard.cls, shard.patches))
    targets = targets_of(description.goal, clips, reader.time_patches)
    set_precision(description.compute)

    def scored(one: Run) -> dict[str, Any]:
        parts = _parts(clips, one, asked)
        chosen = clips.of(parts)
        head = build_trained(description, weights, one, asked.heads)
        logits = _logits(head, reader, torch.from_numpy(chosen), description)
        if places is not None:
            logits = [of_clip[..., places] for of_clip in logits]
        predictions = targets.predictions(logits, one, chosen)
        seen = sorted({*one.train, *one.validation} & set(parts))
        return run_metrics(predictions, description.goal.metrics, parts=parts, trained_on=seen)

    return {
        "selection": description.selection,
        "head_order": description.order,
        "remapped": places is not None,
        **clips.description,
        "inputs": [known.model_dump(mode="json") for known in inputs],
        "runs": [scored(one) for one in runs],
    }


def print_scores(asked: Question, *, out: Path | None = None) -> None:
    """Print what trained heads are worth on a manifest; write it as JSON where asked."""
    found = score(asked)
    for line in _lines(found, asked):
        print(line)  # noqa: T201
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(canonical_json(found), encoding="utf-8")


def _logits(
    head: Probe, reader: CachedTokens, clips: Tensor, description: HeadsDescription
) -> list[Tensor]:
    feed = reader.feed(head)
    with autocast(description.compute.evaluation):
        return predict(head.to(device()), feed, clips, description.test_batch_size)


def _verified(role: str, path: Path, record: Recipe) -> InputFile:
    found = verify_file(path, record)
    return InputFile(role=role, path=path.as_posix(), sha256=found, recipe=record.id)


def _runs(description: HeadsDescription, asked: Question, encoder: str) -> list[Run]:
    """Return the runs that are asked for, of those that were trained on the tokens' encoder."""
    fitting = [one for one in description.runs if description.encoders[one.group] == encoder]
    if not fitting:
        raise BatError(
            f"{asked.tokens}: tokens of another encoder than those of {asked.heads}; the heads "
            f"were trained on {len(description.encoders)}: {', '.join(description.encoders)}"
        )
    if asked.run is None:
        return fitting
    named = [one for one in fitting if name_of(one) == asked.run]
    if not named:
        known = ", ".join(name_of(one) for one in fitting)
        raise BatError(
            f"{asked.heads}: no run {asked.run!r} on the encoder of these tokens; there are {known}"
        )
    return named


def _parts(clips: Clips, one: Run, asked: Question) -> list[str]:
    """Return the parts that are asked for, or those that the run was meant to be tested on."""
    wanted = [*(asked.parts or one.test)]
    absent = [part for part in wanted if part not in clips.parts]
    if absent:
        meant = "" if asked.parts else f", on which run {name_of(one)} was tested"
        raise BatError(
            f"{asked.manifest}: no clip of part {absent[0]!r}{meant}; "
            f"name others with --part: {', '.join(clips.parts)}"
        )
    return wanted


def _lines(found: dict[str, Any], asked: Question) -> list[str]:
    head = "{method} of {model} on {task}".format(**found["selection"])
    how = f"remapped by name to {found['order']}" if found["remapped"] else "as the manifest's"
    lines = [f"{asked.heads}: {head}; labels {found['head_order']}, {how}"]
    for one in found["runs"]:
        of = f"{one['clips']} clips of {', '.join(one['parts'])}{_of_set(found, one['parts'])}"
        for metric, value in one["metrics"].items():
            run = f"fold {one['fold']}, seed {one['seed']}"
            lines.append(f"{run}: {metric} {100 * value:.2f} % (n = {of})")
        if one["trained_on"]:
            lines.append(f"  parts of these names were trained on: {', '.join(one['trained_on'])}")
    return lines


def _of_set(found: dict[str, Any], parts: Sequence[str]) -> str:
    """Name the comparison set, where it applies to some of these parts."""
    applied = found["comparison_set"]
    if applied is None or not set(applied["parts"]) & set(parts):
        return ", no comparison set"
    return f", comparison set {applied['name']} in {', '.join(applied['parts'])}"
