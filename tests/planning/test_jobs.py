"""The jobs of a plan are Snakemake's own."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bat.errors import BatError
from bat.planning.jobs import PlannedJob, needed, parse_dry_run, planned_jobs
from bat.planning.start import Start
from pipeline.tiny import REPOSITORY

MAIN = "results/tables/main.csv"
DRY_RUN = """
[Thu Jan  1 00:00:00 1970]
rule embed:
    input: results/a.bin, data/b.bin
    output: data/tokens/m/g/t/tokens.bin, data/tokens/m/g/t/recipe.json
    jobid: 1
    wildcards: model=m, group=g
    resources: tmpdir=/tmp
[Thu Jan  1 00:00:00 1970]
localrule all:
    input: data/tokens/m/g/t/tokens.bin
    jobid: 0
Job stats:
job      count
-----  -------
embed        1
all          1
total        2
"""


def counted_by_snakemake(params, folder, *arguments):
    """What the table at the end of a dry run says."""
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "-n", "--quiet", "rules",
            f"--snakefile={REPOSITORY / 'Snakefile'}", f"--directory={folder}", MAIN, *arguments,
            "--configfile", str(params),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    counts = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
    assert counts.pop("total") == sum(counts.values())
    return counts


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["params.yaml", "config/paper.yaml"])
def test_there_are_as_many_as_snakemake_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = planned_jobs(REPOSITORY / name, MAIN)
    counts = counted_by_snakemake(REPOSITORY / name, tmp_path)
    assert Counter(job.rule for job in jobs) == counts


@pytest.mark.pipeline
def test_the_cluster_profile_plans_the_papers_experiment_by_itself(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--profile", "slurm",
            f"--directory={tmp_path}", MAIN,
        ],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    planned = counted_by_snakemake(REPOSITORY / "config/paper.yaml", tmp_path)
    rows = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    assert ["total", str(sum(planned.values()))] in rows
    assert ["pretrain", str(planned["pretrain"])] in rows


@pytest.mark.pipeline
def test_a_later_start_takes_what_comes_before_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rules = {
        start: Counter(job.rule for job in planned_jobs(REPOSITORY / "params.yaml", MAIN, start))
        for start in Start
    }
    assert "pretrain" not in rules[Start.CHECKPOINT]
    assert rules[Start.CHECKPOINT]["embed"] == rules[Start.SOURCE]["embed"]
    assert "embed" not in rules[Start.EMBEDDINGS]
    assert rules[Start.EMBEDDINGS]["probe"] == rules[Start.SOURCE]["probe"]
    assert not {"probe", "finetune", "baseline"} & set(rules[Start.METRICS])
    assert rules[Start.METRICS]["table"] == 1


@pytest.mark.pipeline
def test_an_unknown_target_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BatError, match=r"cannot plan results/nothing.csv: .*nothing\.csv"):
        planned_jobs(REPOSITORY / "params.yaml", "results/nothing.csv")


def test_rules_wildcards_and_files_are_read_from_a_dry_run():
    embed, every = parse_dry_run(DRY_RUN)
    assert (embed.rule, embed.wildcards) == ("embed", {"model": "m", "group": "g"})
    assert embed.inputs == {"results/a.bin", "data/b.bin"}
    assert embed.outputs == {"data/tokens/m/g/t/tokens.bin", "data/tokens/m/g/t/recipe.json"}
    assert (every.rule, every.wildcards) == ("all", {})


def test_a_plan_that_was_not_read_whole_is_refused():
    with pytest.raises(BatError, match="another way"):
        parse_dry_run(DRY_RUN.replace("embed        1", "embed        2"))


def test_nothing_to_do_is_no_job():
    assert parse_dry_run("Nothing to be done (all requested files are present).\n") == []


def job(rule, inputs=(), outputs=()):
    return PlannedJob(rule=rule, wildcards={}, inputs=frozenset(inputs), outputs=frozenset(outputs))


def test_what_only_a_given_stage_needs_is_not_run():
    jobs = [
        job("resample", (), ("pcm of pretraining",)),
        job("resample", (), ("pcm",)),
        job("pretrain", ("pcm of pretraining", "pcm"), ("encoder",)),
        job("probe", ("encoder", "pcm"), ("metrics",)),
        job("table", ("metrics",), ("main",)),
    ]
    kept = needed(jobs, ["pretrain"])
    assert Counter(j.rule for j in kept) == {"resample": 1, "probe": 1, "table": 1}
    assert {file for j in kept for file in j.outputs} == {"pcm", "metrics", "main"}
    assert len(needed(jobs, [])) == len(jobs)


def test_the_snakefile_is_where_the_plan_looks_for_it():
    assert Path(sys.modules["bat.planning.jobs"]._SNAKEFILE) == REPOSITORY / "Snakefile"
