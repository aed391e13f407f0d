"""From a cell of the table back to the source."""

import json
from pathlib import Path

import pytest

from audit.made import cells_json, made_cell
from bat.audit.trace import find_cell, print_trace
from bat.errors import BatError
from bat.evaluation.cells import CELLS, RunValue
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


def test_a_name_with_a_slip_is_told_the_nearest_ones(here):
    build_chain()
    cells = [made_cell(method=method) for method in ("lp", "cgp", "finetune", "head2toe")]
    make(Path("results/tables"), {CELLS: cells_json(*cells)})
    with pytest.raises(BatError, match=r"there are 4, e\.g\. bat-mini,cgp,speaker,accuracy or "):
        find_cell("bat-mini,cpg,speaker,acuracy", Path("results/tables"))


def test_a_trace_says_what_the_number_is_the_mean_of(here, capsys):
    build_chain()
    runs = [
        RunValue(fold=fold, seed=seed, value=value)
        for fold, seed, value in [("a", 0, 0.5), ("a", 1, 0.625), ("b", 0, 0.75), ("b", 1, 1.0)]
    ]
    cell = made_cell(runs=runs, n_folds=2, n_seeds=2, folders=[LAST.as_posix()])
    make(Path("results/tables"), {CELLS: cells_json(cell)}, [LAST / "r.bin"])
    print_trace(cell.name, Path("results/tables"), verify=False)
    out = capsys.readouterr().out
    assert "mean of 2 folds x 2 seeds" in out
    assert "fold a: seed 0: 50.00 %, seed 1: 62.50 %" in out
    assert "fold b: seed 0: 75.00 %, seed 1: 100.00 %" in out


def test_many_jobs_of_a_cell_show_what_they_share_once(here, capsys):
    build_chain()
    parts = [Path(f"results/part-{number}") for number in range(15)]
    for part in parts:
        make(part, {"p.bin": part.name.encode()}, [MIDDLE / "m.bin"], selection={"p": part.name})
    cell = made_cell(folders=[part.as_posix() for part in parts])
    make(Path("results/tables"), {CELLS: cells_json(cell)}, [part / "p.bin" for part in parts])
    print_trace(cell.name, Path("results/tables"), verify=True)
    out = capsys.readouterr().out
    for part in parts:
        assert out.count(read_recipe(part).id) == 1
    assert out.count(read_recipe(MIDDLE).id) == out.count(read_recipe(SOURCE).id) == 1
    assert out.count("read what is shown above: data/middle") == len(parts) - 1
    assert len(out.splitlines()) < 100


def test_a_trace_as_json_holds_the_whole_chain(table, capsys):
    print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["cell"]["mean"] == 71.0
    assert list(told["jobs"]) == list(map(str, (table, LAST, MIDDLE, SOURCE)))
    for folder, job in told["jobs"].items():
        recipe = read_recipe(Path(folder))
        assert (job["record"], job["stage"]) == (recipe.id, recipe.stage)
        assert job["settings"] == {"rate": 1e-3, "name": "ä"}
        assert {one["sha256"] for one in job["outputs"]} == {o.sha256 for o in recipe.outputs}
        assert [one["path"] for one in job["inputs"]] == [one.path for one in recipe.inputs]
        assert job["run"]["recipe"] == recipe.id
    assert told["verified"] == {"files": len(FILES) + 1, "bytes": told["verified"]["bytes"]} | {
        "problems": []
    }


def test_a_trace_as_json_says_what_does_not_hold(table, capsys):
    flip(SOURCE / "x.bin", 0)
    with pytest.raises(BatError, match="1 problems"):
        print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True, as_json=True)
    (problem,) = json.loads(capsys.readouterr().out)["verified"]["problems"]
    assert (problem["kind"], problem["path"]) == ("file", "data/source/x.bin")


def test_other_cells_are_not_rehashed_for_one(table):
    make(Path("results/other"), {"o.bin": b"other"})
    cell = made_cell(record=read_recipe(LAST).id[:16], folders=[LAST.as_posix()])
    make(table, {CELLS: cells_json(cell)}, [LAST / "r.bin", Path("results/other/o.bin")])
    flip(Path("results/other/o.bin"), 0)
    print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True)


def test_a_job_without_a_run_log_is_shown_as_such(table, capsys):
    (MIDDLE / "run.json").unlink()
    print_trace("bat-mini,cgp,speaker,accuracy", table, verify=True)
    assert "no run log: when and where it ran is not known" in capsys.readouterr().out


def test_names_are_printed_as_they_are(here, capsys):
    build_chain()
    make(Path("results/[bold]x[/bold]"), {"a[red].bin": b"a"}, [LAST / "r.bin"])
    cell = made_cell(folders=["results/[bold]x[/bold]"])
    make(Path("results/tables"), {CELLS: cells_json(cell)})
    print_trace(cell.name, Path("results/tables"), verify=False)
    out = capsys.readouterr().out
    assert "results/[bold]x[/bold]" in out
    assert "a[red].bin" in out
