import copy
from pathlib import Path

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

from bat.params import parse

# a shared or busy machine is slow, which says nothing about the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

REPOSITORY = Path(__file__).resolve().parents[2]
_DEFAULT = YAML(typ="safe", pure=True).load((REPOSITORY / "params.yaml").read_text("utf-8"))


def default_content():
    """The default parameters as plain values without shared parts, free to change."""
    return unshared(_DEFAULT)


def unshared(value):
    # YAML anchors give the same object twice; deepcopy would keep it shared
    if isinstance(value, dict):
        return {key: unshared(inner) for key, inner in value.items()}
    return [unshared(inner) for inner in value] if isinstance(value, list) else copy.copy(value)


def at(content, *keys):
    for key in keys:
        content = content[key]
    return content


def with_change(dotted, value):
    """The default parameters with one key set (a key of a list is its index)."""
    content = default_content()
    *section, key = dotted.split("/")
    at(content, *section)[key] = value
    return parse(content, "params.yaml")


@pytest.fixture
def content():
    return default_content()


def write_yaml(path, content):
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)
