"""Whatever is changed in a chain of results, verification finds it and names it."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.errors import BatError
from bat.provenance.lineage import (
    Verifier,
    print_verification,
    recorded_folders,
)
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


def verified(folder=LAST):
    verifier = Verifier()
    verifier.add(folder)
    verifier.check_links()
    return verifier


def test_an_untouched_chain_verifies_down_to_its_source(chain):
    verifier = verified()
    assert verifier.problems == []
    assert set(verifier.recipes) == {SOURCE, MIDDLE, LAST}
    assert verifier.files == len(FILES)
    assert verifier.bytes == sum(map(len, FILES.values()))


@given(data=st.data())
def test_any_flipped_byte_of_any_output_is_found_and_its_file_named(shared_chain, data):
    path = data.draw(st.sampled_from(sorted(FILES)))
    position = data.draw(st.integers(0, len(FILES[path]) - 1))
    mask = data.draw(st.integers(1, 255))
    with inside(shared_chain):
        flip(path, position, mask)
        try:
            problems = verified().problems
        finally:
            path.write_bytes(FILES[path])
        assert len(problems) == 1
        assert problems[0].startswith(f"{path}: changed after stage {path.parent.name} made it")
        assert verified().problems == []


@given(data=st.data())
def test_any_flipped_byte_of_a_recipe_that_others_cite_is_found(shared_chain, data):
    path = data.draw(st.sampled_from([SOURCE / RECIPE, MIDDLE / RECIPE]))
    with inside(shared_chain):
        content = path.read_bytes()
        position = data.draw(st.integers(0, len(content) - 1))
        flip(path, position, data.draw(st.integers(1, 255)))
        try:
            problems = verified().problems
        finally:
            path.write_bytes(content)
        assert problems
        assert any(str(path.parent) in problem for problem in problems)


@pytest.mark.parametrize("path", sorted(FILES), ids=str)
def test_growing_and_shrinking_files_are_found(chain, path):
    for content in (FILES[path] + b"\n", FILES[path] + bytes(9), FILES[path][:-1], b""):
        path.write_bytes(content)
        assert [problem.split(":")[0] for problem in verified().problems] == [str(path)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(SOURCE / "x.bin", SOURCE / "y.bin"), (SOURCE / "x.bin", MIDDLE / "m.bin")],
)
def test_swapping_two_files_of_one_size_is_found(chain, one, other):
    assert len(FILES[one]) == len(FILES[other])
    one.write_bytes(FILES[other])
    other.write_bytes(FILES[one])
    assert sorted(problem.split(":")[0] for problem in verified().problems) == [
        str(path) for path in sorted([one, other])
    ]


@pytest.mark.parametrize("path", sorted(FILES), ids=str)
def test_a_missing_file_is_found(chain, path):
    path.unlink()
    (problem,) = verified().problems
    assert problem.startswith(f"{path}: is missing")


@pytest.mark.parametrize("folder", [SOURCE, MIDDLE, LAST], ids=str)
def test_a_missing_recipe_is_found(chain, folder):
    (folder / RECIPE).unlink()
    (problem,) = verified().problems
    assert problem.startswith(f"{folder}: has no recipe.json")


def test_every_problem_is_named_not_only_the_first(chain):
    flip(SOURCE / "x.bin", 0)
    flip(LAST / "r.bin", 0)
    (MIDDLE / "n.bin").unlink()
    assert len(verified().problems) == 3


def test_a_recipe_put_in_the_place_of_another_is_found(chain):
    shutil.copy(MIDDLE / RECIPE, SOURCE / RECIPE)
    assert verified().problems


@pytest.mark.parametrize(
    "outputs", [outputs_of(SOURCE), outputs_of(SOURCE) | {"x.bin": b"else"}], ids=["same", "other"]
)
def test_an_input_that_was_rebuilt_after_it_was_read_is_found(chain, outputs):
    make(SOURCE, outputs, stage="source", settings={"rate": 2.0})
    verifier = Verifier()
    verifier.add(LAST)
    assert verifier.problems == []
    verifier.check_links()
    assert len(verifier.problems) == 3
    for problem in verifier.problems:
        assert "was made from another version of data/source/" in problem
    assert {problem.split(":")[0] for problem in verifier.problems} == {str(MIDDLE), str(LAST)}


def test_an_input_rebuilt_to_the_same_recipe_is_no_problem(chain):
    make(SOURCE, outputs_of(SOURCE), stage="source")
    assert verified().problems == []


def test_an_output_that_its_maker_no_longer_makes_is_found(chain):
    make(SOURCE, {"y.bin": FILES[SOURCE / "y.bin"]}, stage="source")
    assert any("data/source/x.bin" in problem for problem in verified().problems)


def test_the_run_log_is_no_part_of_a_result(chain):
    for folder in (SOURCE, MIDDLE, LAST):
        (folder / RUN_LOG).unlink()
    assert verified().problems == []


# --- what the command line prints -------------------------------------------------------------


def test_verification_counts_what_it_rehashed(chain, capsys):
    print_verification([Path("data"), Path("results")])
    assert "3 records, 5 files, 0 MiB rehashed, 0 problems" in capsys.readouterr().out
    assert list(recorded_folders([Path()])) == [MIDDLE, SOURCE, LAST]


def test_verification_prints_every_problem_and_fails(chain, capsys):
    flip(SOURCE / "x.bin", 3)
    flip(LAST / "r.bin", 3)
    with pytest.raises(BatError, match="2 problems, the first: "):
        print_verification([Path("data"), Path("results")])
    out = capsys.readouterr().out
    assert "data/source/x.bin: changed" in out
    assert "results/last/r.bin: changed" in out
    assert "2 problems" in out


@pytest.mark.parametrize("roots", [["empty"], ["absent"], ["empty", "absent"]])
def test_verifying_nothing_is_no_success(here, roots):
    (here / "empty").mkdir()
    with pytest.raises(BatError, match=r"no recipe\.json found; nothing was run here yet"):
        print_verification([Path(root) for root in roots])
