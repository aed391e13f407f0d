"""Which results stand on a file, compared with a walk that takes one file at a time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.provenance.graph import Dependents
from bat.provenance.recipe import InputFile, OutputFile, Recipe

SHA256 = "0" * 64


def recipe(inputs, outputs):
    return Recipe(
        format=1, stage="made", selection={}, settings={}, code={}, environment_lock="absent",
        determinism="bitwise", wanted="w",
        inputs=[InputFile(role="r", path=str(p), sha256=SHA256, recipe=SHA256) for p in inputs],
        outputs=[OutputFile(name=name, sha256=SHA256, bytes=1) for name in outputs],
    )  # fmt: skip


@st.composite
def experiments(draw):
    """Jobs of two files each, which read files of earlier jobs; results made of some files."""
    count = draw(st.integers(1, 8))
    recipes, files = {}, []
    for number in range(count):
        read = draw(st.lists(st.sampled_from(files), unique=True, max_size=3)) if files else []
        folder = Path(f"job-{number}")
        recipes[folder] = recipe(read, ["a", "b"])
        files += [folder / "a", folder / "b"]
    some = st.lists(st.sampled_from(files), unique=True, min_size=1, max_size=3)
    results = {f"result-{n}": draw(some) for n in range(draw(st.integers(1, 4)))}
    return recipes, results, files


def walk(recipes, start):
    """Files that were made from a file, and the file itself."""
    spoiled = {start}
    for _ in recipes:
        for folder, one in recipes.items():
            if spoiled & {Path(known.path) for known in one.inputs}:
                spoiled |= {folder / output.name for output in one.outputs}
    return spoiled


@given(experiments())
def test_a_result_stands_on_exactly_the_files_behind_it(experiment):
    recipes, results, files = experiment
    # In any order: that of the recipes must not matter.
    dependents = Dependents(dict(reversed(recipes.items())), results)
    for file in files:
        spoiled = walk(recipes, file)
        expected = [name for name, made_of in results.items() if spoiled & set(made_of)]
        assert dependents.of([file]) == expected


def test_a_job_answers_for_all_its_files_and_a_file_for_itself():
    recipes = {Path("one"): recipe([], ["a", "b"])}
    results = {"of a": [Path("one/a")], "of b": [Path("one/b")]}
    dependents = Dependents(recipes, results)
    assert dependents.of([Path("one/a")]) == ["of a"]
    assert dependents.of([Path("one")]) == ["of a", "of b"]
    assert dependents.of([Path("one/c"), Path("elsewhere")]) == []


def test_a_job_without_a_readable_record_answers_for_what_others_read_of_it():
    recipes = {Path("two"): recipe([Path("lost/a")], ["b"])}
    assert Dependents(recipes, {"result": [Path("two/b")]}).of([Path("lost")]) == ["result"]


def test_what_a_gatherer_read_spoils_only_what_is_made_of_it():
    recipes = {
        Path("one"): recipe([], ["a"]),
        Path("two"): recipe([], ["a"]),
        Path("table"): recipe([Path("one/a"), Path("two/a")], ["csv"]),
    }
    results = {name: [Path("table/csv"), Path(name) / "a"] for name in ("one", "two")}
    dependents = Dependents(recipes, results, gatherers=[Path("table")])
    assert dependents.of([Path("one/a")]) == ["one"]
    assert dependents.of([Path("table/csv")]) == ["one", "two"]


def test_a_companion_spoils_what_the_file_that_it_vouches_for_does():
    recipes = {
        Path("one"): recipe([], ["predictions", "head", "curve"]),
        Path("two"): recipe([], ["head"]),
    }
    results = {"result": [Path("one/predictions")]}
    dependents = Dependents(recipes, results, companions={"head": "predictions"})
    assert dependents.of([Path("one/head")]) == ["result"]
    assert dependents.of([Path("one/curve")]) == []
    assert dependents.of([Path("two/head")]) == []


@pytest.mark.parametrize("first", ["one", "two"])
def test_forged_records_that_go_round_in_a_circle_spoil_each_other(first):
    recipes = {
        Path("one"): recipe([Path("two/a")], ["a"]),
        Path("two"): recipe([Path("one/a")], ["a"]),
    }
    recipes = dict(sorted(recipes.items(), key=lambda item: item[0].name != first))
    dependents = Dependents(recipes, {"result": [Path("one/a")]})
    assert dependents.of([Path("two/a")]) == dependents.of([Path("one/a")]) == ["result"]
