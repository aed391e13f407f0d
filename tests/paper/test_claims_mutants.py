"""Faults planted in claims and results; what is above must notice each."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bat
from bat.paper.verdicts import judge
from paper.results import AS20K, BY_ID, DECLARED, cell_for

pytestmark = pytest.mark.mutants
CLAIM = BY_ID[AS20K]


@pytest.fixture
def installed(tmp_path):
    """A copy of the package whose files may be damaged."""
    shutil.copytree(Path(bat.__file__).parent, tmp_path / "bat")
    return tmp_path


def read_in(folder):
    code = "from bat.paper.claims import read_claims; print(len(read_claims()))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_undamaged_copy_is_read(installed):
    assert read_in(installed).stdout == "254\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b",94.55,1.7,", b",94.56,1.7,", id="claim edited"),
        pytest.param(b",94.55,1.7,", b",94.55,9.7,", id="printed spread edited"),
        pytest.param(b"v2.table-5.BAT.FT.AS-2M.F1,v2,Table 5,BAT,FT,AS-2M,F1,36.62,,2,secondary,\n",
                     b"", id="claim dropped"),
        pytest.param(b"\n", b"\r\n", id="line ends changed"),
    ],
)  # fmt: skip
def test_an_edited_claim_is_noticed(installed, before, after):
    path = installed / "bat" / "paper" / "claims.csv"
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))
    done = read_in(installed)
    assert done.returncode != 0
    assert "claims.csv was edited: expected sha256 " in done.stderr


def judged(cell):
    (found,) = judge([CLAIM], [cell], DECLARED)
    return found


def test_a_dropped_seed_changes_the_count_and_the_interval():
    whole = cell_for(CLAIM, seeds=(-0.05, 0.0, 0.05, 0.02), folds=2)
    kept = [run for run in whole.runs if run.seed != 3]
    before, after = judged(whole), judged(whole.model_copy(update={"runs": kept}))
    assert (before.n_seeds, after.n_seeds) == (4, 3)
    assert (before.low, before.high) != (after.low, after.high)


def test_a_seed_dropped_in_one_fold_alone_is_no_verdict():
    whole = cell_for(CLAIM, folds=2)
    assert judged(whole).verdict == "identical"
    assert judged(whole.model_copy(update={"runs": whole.runs[1:]})).verdict == "undecided"


def test_seeds_dropped_but_one_leave_nothing_decided():
    whole = cell_for(CLAIM)
    one = judged(whole.model_copy(update={"runs": whole.runs[1:2]}))
    assert (one.verdict, one.low, one.n_seeds) == ("undecided", None, 1)


def test_an_edited_value_moves_the_verdict():
    assert judged(cell_for(CLAIM)).verdict == "identical"
    assert judged(cell_for(CLAIM, 0.2)).verdict == "equivalent"
    assert judged(cell_for(CLAIM, 5.0)).verdict == "different"
