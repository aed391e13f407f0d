"""The paper's experiment as plain values, and as every job sees it."""

import copy
from pathlib import Path

from ruamel.yaml import YAML

from bat.params import FINETUNE, load, parse
from bat.settings import part_names, settings_for

REPOSITORY = Path(__file__).resolve().parents[2]
PAPER = REPOSITORY / "config" / "paper.yaml"
_CONTENT = YAML(typ="safe", pure=True).load(PAPER.read_text("utf-8"))
PARAMS = load(PAPER)


def content():
    """Plain values that share nothing, free to change."""
    return _unshared(_CONTENT)


def _unshared(value):
    # YAML anchors give the same object twice; deepcopy would keep it shared
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else copy.copy(value)


def with_value(parameter, value):
    """The paper's experiment with one parameter changed."""
    changed = content()
    *section, key = parameter.split(".")
    inside = changed
    for part in section:
        inside = inside[part]
    inside[key] = value
    return parse(changed, "config/paper.yaml")


def jobs(params):
    """Settings of the encoders and of the first part of every cell of the table."""
    found = {
        ("pretrain", model): settings_for(params, "pretrain", {"model": model, "group": "as2m"})
        for model, settings in params.models.items()
        if settings.pretraining is not None
    }
    for model in params.models:
        for task in params.tasks_of(model):
            for method in params.methods_of(model, task):
                stage = FINETUNE if method == FINETUNE else "probe"
                seed = getattr(params.seeds, stage)[-1]
                part, *_ = part_names(params.folds(task)[0].name, seed)
                selection = {"model": model, "task": task, "method": method, "part": part}
                found[model, task, method] = settings_for(params, stage, selection)
    return found
