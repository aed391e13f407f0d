import subprocess
import sys
from pathlib import Path

import pytest

from paper.experiment import PAPER, REPOSITORY

pytestmark = pytest.mark.pipeline
# docs/paper-experiment.md has the same table.
JOBS = {
    "acquire": 7,
    "account": 7,
    "prepare": 9,
    "frontend": 3,
    "pretrain": 8,
    "weights": 4,
    "convert": 4,
    "probe": 612,
    "finetune": 52,
    "figure": 1,
    "audit": 1,
    "table": 1,
}


def test_the_whole_experiment_is_planned_without_any_data(tmp_path):
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "snakemake"),
            "--dry-run",
            "--quiet",
            "rules",
            f"--snakefile={REPOSITORY / 'Snakefile'}",
            f"--directory={tmp_path}",
            f"--configfile={PAPER}",
            "results/tables/main.csv",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    rows = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    planned = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    assert planned == JOBS | {"total": sum(JOBS.values())}


def test_the_document_has_the_number_of_jobs_of_every_rule():
    text = (REPOSITORY / "docs" / "paper-experiment.md").read_text("utf-8")
    for rule, count in JOBS.items():
        assert f"| {rule} | {count} |" in text
