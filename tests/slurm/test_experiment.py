"""The experiment as jobs of a real SLURM: the same bytes, whatever is done to the jobs."""

import csv
import os
import shutil
from datetime import datetime

import pytest

from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import tinier_params
from slurm.cluster import OnCluster, preempt, slurm, wait_until

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.usefixtures("disturbed"),  # they wait most of the time
]
PROBE = "results/probe/bat-mini/speaker/lp/all"


def seconds_beyond_the_stage(experiment):
    """What a job of SLURM takes beside its stage: Snakemake, twice."""
    beyond = {}
    for _, _, comment, start, end in experiment.jobs("COMPLETED"):
        rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
        measured = experiment.folder / "benchmarks/jobs" / rule / f"{wildcards}.tsv"
        if rule == "finetune":
            measured = measured.parent / "bat-mini/speaker/all.tsv"
        if measured.is_file():
            (row,) = csv.DictReader(measured.open(), delimiter="\t")
            elapsed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
            beyond[rule] = elapsed.total_seconds() - float(row["s"])
    return beyond


def test_jobs_of_slurm_build_the_same_table_as_the_local_run(undisturbed, tmp_path, capsys):
    new_experiment(tmp_path / "run", tinier_params())
    experiment = OnCluster(tmp_path / "run")
    experiment.build(MAIN)
    assert experiment.read(MAIN) == undisturbed.read(MAIN)
    assert experiment.recipes() == undisturbed.recipes()
    jobs = experiment.jobs()
    assert {state for _, state, *_ in jobs} == {"COMPLETED"}
    beyond = seconds_beyond_the_stage(experiment)
    assert set(beyond) == {"baseline", "finetune"}
    with capsys.disabled():
        print(f"\n{len(undisturbed.recipes())} stages in {len(jobs)} jobs of SLURM;", end=" ")
        print("seconds of a job beside its stage:", beyond)


@pytest.fixture
def pretrained(undisturbed, tmp_path):
    """An experiment whose encoders are there, and no tokens yet."""
    undisturbed.copy_to(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "results" / "probe")
    shutil.rmtree(tmp_path / "run" / "data" / "tokens")
    return OnCluster(tmp_path / "run")


def running_stage(experiment, name):
    """A process of a stage that has begun to work, once there is one."""

    def found():
        if not any(".partial-" in name for name, *_ in os.walk(experiment.folder)):
            return None
        return [stage for stage in experiment.stages() if name in stage.info["cmdline"]]

    return wait_until(found, 120)[0]


def test_requeued_and_preempted_it_gives_the_same_bytes(pretrained, undisturbed):
    """Stages that start anew; those that go on are those of test_interruptions.py."""
    snakemake = pretrained.start(f"{PROBE}/metrics.json")
    running_stage(pretrained, "embed")
    slurm("scontrol", "requeue", pretrained.jobs("RUNNING")[0][0])
    running_stage(pretrained, "probe")
    preempt("--wait")
    assert snakemake.wait(timeout=240) == 0, pretrained.output()[-3000:]
    made = {name for name in pretrained.recipes() if "probe" in name or "tokens" in name}
    assert f"{PROBE}/recipe.json" in made
    assert {name: pretrained.recipes()[name] for name in made} == {
        name: undisturbed.recipes()[name] for name in made
    }
    audit = pretrained.bat("audit", "verify", PROBE)
    assert audit.returncode == 0, audit.stdout + audit.stderr
