"""``bat audit claims`` and ``bat audit simulate``: from results in folders to what is printed."""

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from audit.made import cells_json
from bat.audit.claims import costs, judgement, print_judgement
from bat.errors import BatError
from bat.evaluation.cells import CELLS
from bat.paper.claims import CLAIMS_SHA256
from bat.workflow import Plan
from paper.experiment import PAPER, REPOSITORY
from paper.results import AS20K, BY_ID, cell_for
from provenance.conftest import flip, here, make

__all__ = ["here"]
TABLES = Path("results/tables")
CLAIM = BY_ID[AS20K]


@pytest.fixture(scope="module")
def papers():
    return Plan(PAPER)


@pytest.fixture
def default(here):
    """The default experiment where nothing was run, with the paper's beside it."""
    for name in ("params.yaml", "config/paper.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes((REPOSITORY / name).read_bytes())
    return Plan(Path("params.yaml"))


def build_table(*cells):
    make(TABLES, {CELLS: cells_json(*cells)})


def verdicts_of(found):
    return {one.claim.id: one for one in found.verdicts}


def test_without_any_result_only_costs_are_known(default):
    found = judgement(default, TABLES)
    attempted = {one.claim.id for one in found.verdicts if one.verdict != "not attempted"}
    assert attempted == {
        "v2.table-10.BAT.CGP.cost.parameters_M", "v2.table-10.BAT.CGP.cost.GMAC",
        "v2.table-10.BAT.PB.cost.parameters_M", "v2.table-10.BAT.VQT.cost.parameters_M",
    }  # fmt: skip
    assert {verdicts_of(found)[name].verdict for name in attempted} == {"identical"}
    assert found.table is None
    assert found.claims_sha256 == CLAIMS_SHA256


def test_the_costs_are_those_of_the_paper():
    assert costs()["CGP", "parameters_M"] == 23.490539
    assert costs()["PB", "parameters_M"] == 12.950527
    assert costs()["CGP", "GMAC"] == pytest.approx(3.956, abs=5e-4)


def test_every_claim_that_was_not_attempted_says_why_and_what_would_build_it(default):
    found = verdicts_of(judgement(default, TABLES))
    probe = found["v2.table-5.BAT.CGP.ESC-50.accuracy"]
    assert probe.reason == "the paper's experiment was not run"
    words = shlex.split(probe.command)
    folds = [f"results/probe/BAT/ESC-50/cgp/fold-{k}/metrics.json" for k in range(1, 6)]
    assert words == [
        "snakemake", "--profile", "slurm", *folds, "--configfile", "config/paper.yaml",
    ]  # fmt: skip
    tuned = found["v2.table-5.BAT.FT.AS-2M.mAP"].command
    assert "results/finetune/BAT/AS-2M/eval.seed-0/metrics.json" in tuned
    unknown = found["v2.table-5.BAT.CGP.AS-2M.mAP"]
    assert (unknown.command, unknown.reason) == (
        None, "its recipe is not known: config/paper.yaml has no such cell",
    )  # fmt: skip
    assert all(one.reason for one in found.values())
    # docs/audit.md has this number; four more are costs
    assert sum(one.command is not None for one in found.values()) == 213 + 4


def test_a_cell_of_the_experiment_at_hand_is_built_by_it(here, papers):
    found = verdicts_of(judgement(papers, TABLES))[AS20K]
    assert found.reason == "not built yet"
    assert shlex.split(found.command)[-2:] == ["--configfile", PAPER.as_posix()]


def test_results_of_the_papers_experiment_are_judged(here, papers):
    build_table(cell_for(CLAIM, 0.1))
    judged = judgement(papers, TABLES)
    found = verdicts_of(judged)[AS20K]
    assert found.verdict == "equivalent"
    assert found.scale == "BAT, width 768, depth 12, 400,000 steps of pretraining, 18,886 clips"
    assert judged.table is not None
    # v1 and v2 print other values of one cell, which may become of them differently
    about = [one for one in judged.verdicts if one.cell == found.cell]
    assert len(about) == 2  # Table 5, and the last row of the ablation


def test_a_version_is_judged_alone(here, papers):
    assert {one.claim.version for one in judgement(papers, TABLES, "v1").verdicts} == {"v1"}


@pytest.mark.mutants
def test_a_cell_edited_after_the_table_was_made_is_no_evidence(here, papers):
    build_table(cell_for(CLAIM, 0.1))
    flip(TABLES / CELLS, 100)
    with pytest.raises(BatError, match=r"cells\.json: changed"):
        judgement(papers, TABLES)


def metrics_json(better):
    runs = [
        {
            "fold": fold,
            "seed": seed,
            "metrics": {"accuracy": 0.5 + better, "mAP": 0.0},
            "gate": None,
        }
        for fold in ("meeting-0", "meeting-1")
        for seed in range(3)
    ]
    return json.dumps({"runs": runs}).encode()


@pytest.fixture
def probed(default):
    for method, better in (("cgp", 0.1), ("lp", 0.0)):
        folder = Path(f"results/probe/bat-mini/speaker/{method}/all")
        make(folder, {"metrics.json": metrics_json(better)})
    return default


def test_statements_are_tested_on_the_runs_that_are_there(probed):
    found = {one.statement.id: one for one in judgement(probed, TABLES).statements}
    best = found["cgp-at-least-lp"]
    assert best.holding == "holds"
    (one,) = best.findings
    assert one.difference == pytest.approx(10)
    assert one.scale == "bat-mini, width 128, depth 3, 1,200 steps of pretraining"
    assert found["gate-helps-eob"].holding == "not attempted"


@pytest.mark.mutants
def test_a_run_edited_after_it_was_made_is_no_evidence(probed):
    flip(Path("results/probe/bat-mini/speaker/cgp/all/metrics.json"), 20)
    with pytest.raises(BatError, match=r"metrics\.json: changed"):
        judgement(probed, TABLES)


def printed(capsys, plan, **options):
    choices = {"version": None, "verdict": None, "as_json": False, "out": None} | options
    print_judgement(plan, TABLES, **choices)
    return capsys.readouterr().out


def test_everything_is_printed(probed, capsys):
    text = printed(capsys, probed)
    assert "all: 4 of 254 claims attempted (4 identical, 250 not attempted)" in text
    assert "v2 Table 5: 0 of 192 claims attempted" in text
    assert "results/probe/BAT/AS-20k/cgp/" in text
    assert "holds: CGP is at least as good as LP on every task. (Table 5)" in text
    assert "no two models here differ in encoder.gated alone" in text
    assert CLAIMS_SHA256[:16] in text


def test_one_kind_of_verdict_is_shown_and_all_are_counted(default, capsys):
    text = printed(capsys, default, verdict="identical")
    assert text.count("│ v2.") == 4
    assert "4 of 254 claims" in text
    with pytest.raises(BatError, match="--verdict same: allowed: identical, equivalent"):
        printed(capsys, default, verdict="same")


def test_json_holds_everything(default, capsys):
    found = json.loads(printed(capsys, default, as_json=True))
    assert len(found["verdicts"]) == 254
    assert found["claims_sha256"] == CLAIMS_SHA256
    assert found["equivalence"] == {"margin": 0.5, "margins": {}, "confidence": 0.9}
    assert found["coverage"][0].startswith("all: 4 of 254")


def test_a_file_of_verdicts_says_by_what_they_were_judged(here, papers, capsys):
    build_table(cell_for(CLAIM, 0.1))
    printed(capsys, papers, out=Path("results/audit/claims.csv"))
    with Path("results/audit/claims.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["claim"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 254
    row = rows[AS20K]
    assert (row["verdict"], row["printed"], row["value"]) == ("equivalent", "37.70", "37.8000")
    assert {row["claims_sha256"] for row in rows.values()} == {CLAIMS_SHA256}
    assert [path.name for path in Path("results/audit").iterdir()] == ["claims.csv"]


def bat(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bat", *arguments], capture_output=True, text=True, check=False
    )


def test_the_commands_run(default):
    done = bat("audit", "claims", "--verdict", "different", "--version", "v2")
    assert done.returncode == 0, done.stderr
    assert "all: 4 of 237 claims attempted" in done.stdout
    done = bat("audit", "simulate", "--trials", "500", "--seeds", "3", "--seeds", "5")
    assert done.returncode == 0, done.stderr
    assert "worst false pass: " in done.stdout
