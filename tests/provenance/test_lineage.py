"""Whatever is changed in a chain of results, verification finds it and names it."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.provenance.lineage import recorded_folders, verify_records
from bat.provenance.recipe import RECIPE, RUN_LOG
from provenance.chains import FILES, LAST, MIDDLE, SOURCE, build_chain, outputs_of
from provenance.conftest import flip, make


@pytest.fixture(scope="module")
def shared_chain(tmp_path_factory):
    """A chain for many trials; each puts back what it changed."""
    folder = tmp_path_factory.mktemp("chain")
    with inside(folder):
        build_chain()
    return folder


@pytest.fixture
def chain(shared_chain, here):
    """A chain of one's own."""
    shutil.copytree(shared_chain, here, dirs_exist_ok=True)


@contextmanager
def inside(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def problems():
    """Messages of what is wrong with the last job and all behind it."""
    return [problem.message for problem in verify_records([LAST]).problems]


@pytest.mark.parametrize("jobs", [None, 1, 2, 9])
def test_an_untouched_chain_verifies_down_to_its_source(chain, jobs):
    verified = verify_records([LAST], jobs)
    assert verified.problems == []
    assert set(verified.recipes) == {SOURCE, MIDDLE, LAST}
    assert verified.files == len(FILES)
    assert verified.bytes == sum(map(len, FILES.values()))


@given(data=st.data())
def test_any_flipped_byte_of_any_output_is_found_and_its_file_named(shared_chain, data):
    path = data.draw(st.sampled_from(sorted(FILES)))
    position = data.draw(st.integers(0, len(FILES[path]) - 1))
    mask = data.draw(st.integers(1, 255))
    with inside(shared_chain):
        flip(path, position, mask)
        try:
            found = problems()
        finally:
            path.write_bytes(FILES[path])
        assert len(found) == 1
        assert found[0].startswith(f"{path}: changed after stage {path.parent.name} made it")
        assert problems() == []


@given(data=st.data())
def test_any_flipped_byte_of_a_recipe_that_others_cite_is_found(shared_chain, data):
    path = data.draw(st.sampled_from([SOURCE / RECIPE, MIDDLE / RECIPE]))
    with inside(shared_chain):
        content = path.read_bytes()
        position = data.draw(st.integers(0, len(content) - 1))
        flip(path, position, data.draw(st.integers(1, 255)))
        try:
            found = problems()
        finally:
            path.write_bytes(content)
        assert found
        assert any(str(path.parent) in problem for problem in found)


@pytest.mark.parametrize("path", sorted(FILES), ids=str)
def test_growing_and_shrinking_files_are_found(chain, path):
    for content in (FILES[path] + b"\n", FILES[path] + bytes(9), FILES[path][:-1], b""):
        path.write_bytes(content)
        assert [problem.split(":")[0] for problem in problems()] == [str(path)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(SOURCE / "x.bin", SOURCE / "y.bin"), (SOURCE / "x.bin", MIDDLE / "m.bin")],
)
def test_swapping_two_files_of_one_size_is_found(chain, one, other):
    assert len(FILES[one]) == len(FILES[other])
    one.write_bytes(FILES[other])
    other.write_bytes(FILES[one])
    assert sorted(problem.split(":")[0] for problem in problems()) == [
        str(path) for path in sorted([one, other])
    ]


@pytest.mark.parametrize("path", sorted(FILES), ids=str)
def test_a_missing_file_is_found(chain, path):
    path.unlink()
    (problem,) = problems()
    assert problem.startswith(f"{path}: is missing")


@pytest.mark.parametrize("folder", [SOURCE, MIDDLE, LAST], ids=str)
def test_a_missing_recipe_is_found(chain, folder):
    (folder / RECIPE).unlink()
    (problem,) = problems()
    assert problem.startswith(f"{folder}: has no recipe.json")


def test_every_problem_is_named_not_only_the_first(chain):
    flip(SOURCE / "x.bin", 0)
    flip(LAST / "r.bin", 0)
    (MIDDLE / "n.bin").unlink()
    assert len(problems()) == 3


def test_a_recipe_put_in_the_place_of_another_is_found(chain):
    shutil.copy(MIDDLE / RECIPE, SOURCE / RECIPE)
    assert problems()


@pytest.mark.parametrize(
    "outputs", [outputs_of(SOURCE), outputs_of(SOURCE) | {"x.bin": b"else"}], ids=["same", "other"]
)
def test_an_input_that_was_rebuilt_after_it_was_read_is_found(chain, outputs):
    make(SOURCE, outputs, stage="source", settings={"rate": 2.0})
    found = problems()
    assert len(found) == 3
    for problem in found:
        assert "was made from another version of data/source/" in problem
    assert {problem.split(":")[0] for problem in found} == {str(MIDDLE), str(LAST)}


def test_an_input_rebuilt_to_the_same_recipe_is_no_problem(chain):
    make(SOURCE, outputs_of(SOURCE), stage="source")
    assert problems() == []


def test_an_output_that_its_maker_no_longer_makes_is_found(chain):
    make(SOURCE, {"y.bin": FILES[SOURCE / "y.bin"]}, stage="source")
    assert any("data/source/x.bin" in problem for problem in problems())


def test_the_run_log_is_no_part_of_a_result(chain):
    for folder in (SOURCE, MIDDLE, LAST):
        (folder / RUN_LOG).unlink()
    assert problems() == []


def test_what_a_gatherer_read_is_left_to_others_but_compared_where_it_is_known(chain):
    flip(SOURCE / "x.bin", 0)
    verified = verify_records([LAST], gatherers=[LAST])
    assert (set(verified.recipes), verified.files, verified.problems) == ({LAST}, 1, [])
    make(MIDDLE, outputs_of(MIDDLE), stage="middle")
    (problem,) = verify_records([LAST, MIDDLE], gatherers=[LAST]).problems
    assert problem.spoils == (MIDDLE / "m.bin",)


def test_folders_of_records_are_found_and_those_of_running_jobs_are_not(chain):
    shutil.copytree(LAST, LAST / ".partial-1")
    assert list(recorded_folders([Path()])) == [MIDDLE, SOURCE, LAST]
    assert list(recorded_folders([Path("absent")])) == []
