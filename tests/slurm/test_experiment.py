"""The experiment as jobs of a real SLURM: the same bytes, whatever is done to the jobs."""

import csv
import os
import shutil
import signal
from datetime import datetime

import pytest

from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import tinier_params
from slurm.cluster import OnCluster, preempt, python, slurm, wait_until

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
def prepared(undisturbed, tmp_path):
    """An experiment whose spectrograms are there, and no encoder yet."""
    undisturbed.copy_to(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "results")
    shutil.rmtree(tmp_path / "run" / "data" / "tokens")
    return OnCluster(tmp_path / "run")


def running_stage(experiment, name):
    """A process of a stage that has begun to work, once there is one."""

    def found():
        if not any(".partial-" in name for name, *_ in os.walk(experiment.folder)):
            return None
        return [stage for stage in experiment.stages() if name in stage.info["cmdline"]]

    return wait_until(found, 120)[0]


def test_killed_cancelled_requeued_and_preempted_it_gives_the_same_bytes(prepared, undisturbed):
    snakemake = prepared.start(f"{PROBE}/metrics.json")
    orphan = running_stage(prepared, "pretrain")
    orphan.suspend()
    os.kill(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    assert prepared.jobs("RUNNING")

    # A run that cannot reach SLURM takes over: the orphan ends by itself and publishes nothing.
    take_over = "from bat.slurm.runs import begin_run; begin_run(); print('mine', flush=True); "
    with python(take_over + "input()", prepared.folder, PATH="/nowhere") as successor:
        assert successor.stdout.readline() == "mine\n"
        orphan.resume()
        orphan.wait(timeout=30)
        successor.communicate("\n")
    group = orphan.info["cmdline"][orphan.info["cmdline"].index("--group") + 1]
    assert not (prepared.folder / f"results/pretrain/bat-mini/{group}/recipe.json").exists()

    # What still runs of the first run is cancelled by the next; then its own jobs are disturbed.
    snakemake = prepared.start(f"{PROBE}/metrics.json")
    running_stage(prepared, "pretrain")
    slurm("scancel", prepared.jobs("RUNNING")[0][0])
    running_stage(prepared, "embed")
    slurm("scontrol", "requeue", prepared.jobs("RUNNING")[0][0])
    running_stage(prepared, "probe")
    preempt()
    assert snakemake.wait(timeout=240) == 0, prepared.output()[-3000:]
    made = {name for name in prepared.recipes() if name.startswith("results")}
    assert f"{PROBE}/recipe.json" in made
    assert {name: prepared.recipes()[name] for name in made} == {
        name: undisturbed.recipes()[name] for name in made
    }
    audit = prepared.bat("audit", "verify", PROBE)
    assert audit.returncode == 0, audit.stdout + audit.stderr
