"""Nothing depends on the dimensions of the published vectors."""

import re

import pytest

from bat.conformance.registry import JSON_FAMILIES, TENSOR_FAMILIES
from bat.conformance.run import check_folder

from .made import make


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return check_folder(folder)


def test_a_folder_of_other_dimensions_passes(outcomes):
    assert [f"{one.name}: {one.detail}" for one in outcomes if not one.passed] == []


def test_it_holds_a_case_of_every_family(outcomes):
    assert len(outcomes) >= 20
    assert {one.name for one in outcomes} >= JSON_FAMILIES.keys()
    for pattern in TENSOR_FAMILIES:
        assert any(re.fullmatch(pattern, one.name) for one in outcomes), pattern
