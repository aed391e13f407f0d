"""Stages that are ended in every way SLURM has, and the rules that run them."""

import sys

from pipeline.conftest import BIN
from slurm.cluster import OnCluster, preempt, wait_until

SNAKEFILE = """
from pathlib import Path
from bat.runtime import serve_stages
from bat.slurm.job import enter_job
from bat.slurm.status import understand_every_end
serve_stages(Path("params.yaml"))
if not workflow.is_main_process:
    enter_job()
onstart:
    understand_every_end()
rule all:
    localrule: True
    input: "limited", "again", "lost"
rule limited:
    output: "limited"
    resources: runtime=1, slurm_extra="--signal=USR1@30", slurm_partition="urgent"
    shell: "exec {python} stage.py {{rule}} {{resources.attempt}}"
rule again:
    output: "again"
    shell: "exec {python} stage.py {{rule}} {{resources.attempt}}"
rule lost:
    output: "lost"
    resources: slurm_partition="lost"
    shell: "exec {python} stage.py {{rule}} {{resources.attempt}}"
"""
STAGE = """
import os, signal, sys, time
from pathlib import Path
from bat.slurm.job import job_number, restarts
from bat.runtime import INTERRUPTED
from bat.slurm.requeue import ask_to_be_run_again

rule, attempt = sys.argv[1:]
job, restart = job_number(), restarts()
trace = open(f"{rule}.trace", "a", buffering=1)
print("start", job, attempt, restart, file=trace)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda n, _: print(signal.Signals(n).name, job, file=trace))

def wait_for_ever():
    while True:
        time.sleep(0.1)

if rule == "again" and restart == 0:       # what pretraining does when its time is nearly over
    assert ask_to_be_run_again()
    sys.exit(INTERRUPTED)
if rule != "again" and attempt == "1":
    wait_for_ever()
Path(rule).write_text("made")
"""


class MadeForIt(OnCluster):
    """The stages above, by the rules above."""

    def command(self, *arguments):
        return [
            str(BIN / "snakemake"), "--executor=slurm", "--jobs=3", "--retries=1", "--nolock",
            "--slurm-requeue", "--slurm-status-command=squeue",
            "--slurm-init-seconds-before-status-checks=1",
            "--default-resources", "mem_mb=1000", "runtime=5", "attempt=attempt",
        ]  # fmt: skip

    def begin(self):
        """Start them all, and preempt what can be preempted."""
        (self.folder / "Snakefile").write_text(SNAKEFILE.format(python=sys.executable))
        (self.folder / "stage.py").write_text(STAGE)
        snakemake = self.start()
        wait_until((self.folder / "lost.trace").exists, 120)
        preempt("--wait", spared=1)  # of the job that is to reach its time limit
        return snakemake
