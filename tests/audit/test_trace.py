"""From a cell of the table back to the source."""

from pathlib import Path

import pytest

from audit.made import cells_json, made_cell
from bat.audit.trace import find_cell, print_trace
from bat.errors import BatError
from bat.evaluation.cells import CELLS
from bat.provenance.recipe import RECIPE, read_recipe
from provenance.chains import FILES, LAST, MIDDLE, SOURCE, build_chain
from provenance.conftest import flip, make


@pytest.fixture
def table(here):
    """A table of one number, made from the last of three jobs."""
    build_chain()
    cell = made_cell(record=read_recipe(LAST).id[:16], folders=[LAST.as_posix()])
    make(Path("results/tables"), {CELLS: cells_json(cell)}, [LAST / "r.bin"])
    return Path("results/tables")


@pytest.mark.parametrize("prefix", ["", "main.csv#", "results/tables/main.csv#"])
def test_a_cell_is_found_by_its_name(table, prefix):
    assert find_cell(f"{prefix}bat-mini,cgp,speaker,accuracy", table).mean == 71.0


def test_a_cell_is_found_by_its_record(table):
    assert find_cell(read_recipe(LAST).id[:16], table).mean == 71.0


@pytest.mark.parametrize(
    "cell", ["", "bat-mini", "bat-mini,cgp,speaker,mAP", "main.csv#", "0" * 16]
)
def test_a_cell_that_is_not_there_is_told_what_is(table, cell):
    with pytest.raises(BatError, match=r"no such cell; there are 1, e\.g\. bat-mini,cgp,speaker"):
        find_cell(cell, table)


def test_without_a_table_there_are_no_cells(here):
    with pytest.raises(BatError, match=r"cells\.json: not there; build the table first"):
        find_cell("bat-mini,cgp,speaker,accuracy", Path("results/tables"))


def test_a_trace_names_every_record_and_every_hash_down_to_the_source(table, capsys):
    print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True)
    out = capsys.readouterr().out
    for folder in (SOURCE, MIDDLE, LAST, table):
        recipe = read_recipe(folder)
        assert recipe.id[:16] in out
        for output in recipe.outputs:
            assert output.sha256 in out
    assert "71.0 %" in out
    assert "(shown above)" in out  # two jobs read the source
    assert f"{len(FILES) + 1} files rehashed, all match" in out


def test_a_trace_that_verifies_names_what_changed(table, capsys):
    flip(SOURCE / "x.bin", 0)
    print_trace("bat-mini,cgp,speaker,accuracy", table, verify=False)
    with pytest.raises(BatError, match=r"1 problems, the first: data/source/x\.bin: changed"):
        print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True)
    assert "all match" not in capsys.readouterr().out


def test_a_trace_through_an_unfinished_job_says_so(table):
    (MIDDLE / RECIPE).unlink()
    with pytest.raises(BatError, match=r"data/middle: has no recipe\.json"):
        print_trace("bat-mini,cgp,speaker,accuracy", table, verify=False)
