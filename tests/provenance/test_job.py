"""A job leaves its whole work and the record of it, or nothing."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from bat.errors import BatError
from bat.provenance.lineage import recorded_folders, verify_records
from bat.provenance.recipe import RECIPE, RUN_LOG, read_recipe
from provenance.conftest import job, make

OUTPUTS = {"a.bin": b"first", "b.bin": b"second", "c.bin": b"third"}


def contents(folder):
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def partial_folders(folder):
    return list(folder.rglob(".partial-*"))


@pytest.fixture
def source(here):
    """A finished job whose output others read, by a path relative to here."""
    make(here / "data" / "source", {"x.bin": b"input"})
    return Path("data/source/x.bin")


# --- success ----------------------------------------------------------------------------------


def test_a_job_publishes_its_outputs_its_recipe_and_its_run_log(here, source):
    make(here / "out", OUTPUTS, [source])
    assert set(contents(here / "out")) == {*OUTPUTS, RECIPE, RUN_LOG}
    assert {name: contents(here / "out")[name] for name in OUTPUTS} == OUTPUTS
    recipe = read_recipe(here / "out")
    assert {o.name: o.sha256 for o in recipe.outputs} == {
        name: hashlib.sha256(content).hexdigest() for name, content in OUTPUTS.items()
    }
    (given,) = recipe.inputs
    assert (given.role, given.path) == ("given", "data/source/x.bin")
    assert given.sha256 == hashlib.sha256(b"input").hexdigest()
    assert given.recipe == read_recipe(here / "data/source").id
    assert not partial_folders(here)


def test_nothing_is_visible_before_the_end(here):
    with job(here / "out") as running:
        running.output("a.bin").write_bytes(b"half")
        visible = [path.name for path in (here / "out").iterdir() if path.name[0] != "."]
        assert visible == []


def test_the_recipe_is_published_last(here, monkeypatch):
    published = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (published.append(os.fspath(b)), real(a, b)))
    make(here / "out", OUTPUTS)
    names = [os.path.basename(path) for path in published]  # noqa: PTH119
    assert names[-1] == RECIPE
    assert set(names) == {*OUTPUTS, RECIPE, RUN_LOG}


def test_the_same_job_gives_the_same_recipe_anywhere(tmp_path, monkeypatch):
    found = []
    for place in ("one", "another/deeper"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        make(folder / "data", {"x.bin": b"input"})
        make(Path("out"), OUTPUTS, [Path("data/x.bin")])
        found.append(contents(folder / "out"))
    assert found[0][RECIPE] == found[1][RECIPE]
    assert str(tmp_path).encode() not in found[0][RECIPE]


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "other"}, {"selection": {"model": "n"}}, {"settings": {"rate": 2e-3}},
        {"code": {"bat.stages.made": "1" * 64}}, {"determinism": "tolerance"},
        {"wanted": lambda: "v"},
    ],
)  # fmt: skip
def test_every_part_of_a_job_is_part_of_its_id(here, change):
    make(here / "one", OUTPUTS)
    make(here / "two", OUTPUTS, **change)
    assert read_recipe(here / "one").id != read_recipe(here / "two").id


def test_the_id_pins_the_jobs_before_it(here, source):
    make(here / "out", OUTPUTS, [source])
    before = read_recipe(here / "out").id
    make(here / "data" / "source", {"x.bin": b"input"}, settings={"rate": 5})
    make(here / "out", OUTPUTS, [source])
    assert read_recipe(here / "out").id != before


def test_the_run_log_says_where_when_and_with_what(here, source):
    make(here / "out", OUTPUTS, [source])
    run = json.loads((here / "out" / RUN_LOG).read_text())
    assert run["recipe"] == read_recipe(here / "out").id
    assert run["host"] == os.uname().nodename
    assert run["started"] <= run["finished"]
    assert run["wall_s"] >= 0
    assert run["peak_memory_bytes"] > 1_000_000
    assert set(run["git"]) == {"commit", "dirty"}
    assert {"torch", "numpy", "polars"} <= set(run["packages"])
    assert run["python"].count(".") == 2


def test_no_record_holds_the_environment(here, source, monkeypatch):
    monkeypatch.setenv("BAT_TEST_TOKEN", "hunter2-do-not-store")
    monkeypatch.setenv("HF_TOKEN", "hf_hunter3")
    make(here / "out", OUTPUTS, [source])
    for content in contents(here / "out").values():
        assert b"hunter" not in content
        assert b"BAT_TEST_TOKEN" not in content


def test_paths_come_back_by_role_and_makers_by_path(here, source):
    with job(here / "out", [source]) as running:
        assert running.paths("given") == [source]
        assert running.path("given") == source
        assert running.maker(source) == read_recipe(source.parent)


def test_a_job_knows_which_roles_it_was_given_files_of(here, source):
    with job(here / "out", [source]) as running:
        assert running.has("given")
        assert not running.has("absent")
    with job(here / "out", []) as running:
        assert not running.has("given")


def test_a_rerun_replaces_the_old_outputs(here):
    make(here / "out", OUTPUTS)
    make(here / "out", {"a.bin": b"new", "d.bin": b"more"})
    recipe = read_recipe(here / "out")
    assert [output.name for output in recipe.outputs] == ["a.bin", "d.bin"]
    assert (here / "out/a.bin").read_bytes() == b"new"


def test_outputs_can_be_read_by_others_as_the_umask_allows(here):
    with job(here / "out") as running:
        for name, content in OUTPUTS.items():
            running.output(name).write_bytes(content)
        # as safetensors makes its files
        running.output("a.bin").chmod(0o600)
    plain = here / "plain"
    plain.touch()
    for name in (*OUTPUTS, RECIPE, RUN_LOG):
        mode = stat.S_IMODE((here / "out" / name).stat().st_mode)
        assert mode == stat.S_IMODE(plain.stat().st_mode)


# --- failure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
def test_a_job_that_fails_leaves_what_was_there_before(here, error):
    make(here / "out", OUTPUTS)
    before = contents(here / "out")
    with pytest.raises(error), job(here / "out") as running:
        running.output("a.bin").write_bytes(b"half")
        raise error
    assert contents(here / "out") == before
    assert not partial_folders(here)


def test_a_first_job_that_fails_leaves_nothing(here):
    with pytest.raises(RuntimeError), job(here / "out") as running:
        running.output("a.bin").write_bytes(b"half")
        raise RuntimeError
    assert contents(here) == {}


def test_what_a_killed_job_left_is_cleared_by_the_next(here):
    left = here / "out" / ".partial-12345"
    left.mkdir(parents=True)
    (left / "a.bin").write_bytes(b"half")
    make(here / "out", OUTPUTS)
    assert set(contents(here / "out")) == {*OUTPUTS, RECIPE, RUN_LOG}


def started(folder, inputs):
    """Whether a job computes anything on these inputs, and the complaint if not."""
    with pytest.raises(BatError) as caught, job(folder, inputs):
        pytest.fail("computed on inputs that do not match their recipe")
    assert len(str(caught.value).splitlines()) == 1
    assert not folder.exists()
    return str(caught.value)


def test_an_input_that_changed_after_its_recipe_is_refused(here, source):
    source.write_bytes(b"INPUT")
    complaint = started(here / "out", [source])
    assert str(source) in complaint
    assert hashlib.sha256(b"input").hexdigest() in complaint
    assert hashlib.sha256(b"INPUT").hexdigest() in complaint


def test_an_input_that_is_missing_is_refused(here, source):
    source.unlink()
    assert f"{source}: is missing" in started(here / "out", [source])


def test_an_input_whose_maker_did_not_finish_is_refused(here, source):
    (source.parent / RECIPE).unlink()
    assert f"{source.parent}: has no recipe.json" in started(here / "out", [source])


def test_an_input_that_its_neighbours_job_did_not_make_is_refused(here, source):
    stranger = source.with_name("stranger.bin")
    stranger.write_bytes(b"whoever")
    assert "did not make it" in started(here / "out", [stranger])


def test_one_bad_input_among_good_ones_is_found(here, source):
    make(here / "data/other", {"y.bin": b"1", "z.bin": b"2"})
    (here / "data/other/z.bin").write_bytes(b"3")
    inputs = [source, here / "data/other/y.bin", here / "data/other/z.bin"]
    assert "z.bin" in started(here / "out", inputs)


# --- stale work -------------------------------------------------------------------------------


def test_work_is_thrown_away_when_the_experiment_changed_meanwhile(here):
    make(here / "out", OUTPUTS)
    before = contents(here / "out")
    answers = iter(["then", "now"])
    with pytest.raises(BatError, match="the parameters or the code changed while this job ran"):
        make(here / "out", {"a.bin": b"stale"}, wanted=lambda: next(answers))
    assert contents(here / "out") == before
    assert not partial_folders(here)


def test_work_is_thrown_away_when_an_input_was_rebuilt_meanwhile(here, source):
    with (
        pytest.raises(BatError, match=r"x\.bin: was rebuilt while this job ran"),
        job(here / "out", [source]) as running,
    ):
        running.output("a.bin").write_bytes(b"stale")
        make(here / "data" / "source", {"x.bin": b"newer"})
    assert contents(here / "out") == {}


def test_work_is_thrown_away_when_an_input_is_being_rebuilt(here, source):
    with pytest.raises(BatError, match="did not finish"), job(here / "out", [source]) as running:
        running.output("a.bin").write_bytes(b"stale")
        (source.parent / RECIPE).unlink()
    assert contents(here / "out") == {}


def test_an_input_rebuilt_to_the_same_bytes_is_no_reason_to_throw_work_away(here, source):
    with job(here / "out", [source]) as running:
        running.output("a.bin").write_bytes(b"good")
        make(here / "data" / "source", {"x.bin": b"input"})
    assert read_recipe(here / "out").inputs[0].recipe == read_recipe(source.parent).id


# --- a crash while publishing -----------------------------------------------------------------


@pytest.mark.parametrize("old", [None, {"a.bin": b"old 1", "b.bin": b"old 2", "c.bin": b"third"}])
@pytest.mark.parametrize("moved", range(5))
def test_a_crash_while_publishing_never_looks_finished(here, monkeypatch, old, moved):
    """Old and new files may lie mixed, but then no recipe vouches for them."""
    out = here / "out"
    if old:
        make(out, old)
    real, calls = os.replace, []

    def crash(source, target):
        calls.append(target)
        if len(calls) > moved:
            raise OSError(5, "Input/output error", os.fspath(target))
        real(source, target)

    with monkeypatch.context() as disk, pytest.raises(OSError, match="Input/output"):
        disk.setattr(os, "replace", crash)
        make(out, OUTPUTS)
    assert "has no recipe.json" in verify_records([out]).problems[0].message
    assert list(recorded_folders([out])) == []
    assert "has no recipe.json" in started(here / "reader", [out / "a.bin"])
    make(out, OUTPUTS)
    assert verify_records([out]).problems == []
    assert not partial_folders(here)
