"""What `bat audit verify` prints and returns, on chains made of plain bytes."""

import json
from pathlib import Path

import pytest

from bat.audit.verification import print_report, verify_folders
from bat.errors import BatError
from bat.provenance.recipe import RUN_LOG
from provenance.chains import FILES, LAST, SOURCE, build_chain
from provenance.conftest import flip

ROOTS = [Path("data"), Path("results")]
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def chain(here):
    build_chain()


def test_verification_counts_what_it_rehashed(chain, capsys):
    print_report(verify_folders(ROOTS))
    assert f"3 records, 5 files, {SIZE} B rehashed, 0 problems" in capsys.readouterr().out


def test_verification_prints_every_problem_and_fails(chain, capsys):
    flip(SOURCE / "x.bin", 3)
    flip(LAST / "r.bin", 3)
    with pytest.raises(BatError, match="2 problems, the first: "):
        print_report(verify_folders(ROOTS))
    out = capsys.readouterr().out
    assert "file: data/source/x.bin: changed" in out
    assert "file: results/last/r.bin: changed" in out
    assert "2 problems" in out


def test_what_lies_below_other_folders_is_not_verified_unless_it_is_behind(chain):
    flip(LAST / "r.bin", 0)
    assert verify_folders([Path("data")]).problems == []
    flip(SOURCE / "x.bin", 0)
    assert len(verify_folders([Path("results")]).problems) == 2


def test_planted_files_and_run_logs_of_other_jobs_are_found_without_parameters(chain):
    (SOURCE / "planted").write_text("")
    (LAST / RUN_LOG).write_bytes((SOURCE / RUN_LOG).read_bytes())
    found = {(one.kind, one.path) for one in verify_folders(ROOTS).problems}
    assert found == {("unknown file", "data/source/planted"), ("run log", f"{LAST}/{RUN_LOG}")}


def test_hidden_files_of_running_jobs_are_nobodys_business(chain):
    (SOURCE / ".lock").write_text("")
    (SOURCE / ".partial-1").mkdir()
    assert verify_folders(ROOTS).problems == []


def test_the_report_as_json(chain, capsys):
    flip(SOURCE / "x.bin", 3)
    with pytest.raises(BatError):
        print_report(verify_folders(ROOTS), as_json=True)
    told = json.loads(capsys.readouterr().out)
    (problem,) = told["problems"]
    assert (problem["kind"], problem["path"]) == ("file", "data/source/x.bin")
    assert (told["files"], told["bytes"], told["cells"]) == (5, SIZE, {})


@pytest.mark.parametrize("roots", [["empty"], ["absent"], ["empty", "absent"]])
def test_verifying_nothing_is_no_success(here, roots):
    (here / "empty").mkdir()
    with pytest.raises(BatError, match=r"no recipe\.json found; nothing was run here yet"):
        verify_folders([Path(root) for root in roots])
