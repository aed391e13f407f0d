"""Pretraining as a job of SLURM, and every way in which it is interrupted."""

import os
import re
import signal
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from pipeline.tiny import tinier_params
from slurm.cluster import OnCluster, preempt, python, slurm, wait_until

FOLDER = "results/pretrain/bat-mini/early"
ENCODER = f"{FOLDER}/encoder.safetensors"
# Steps between two checkpoints, and the most that a training advances between two interruptions.
INTERVAL, ADVANCE = 5, 30
_TAKE_OVER = "from bat.slurm.runs import begin_run; begin_run(); print('mine', flush=True); input()"


def training_of(steps, micro_batch_size=None):
    """A training of so many steps, each of them logged."""
    params = tinier_params()
    params["models"]["bat-mini"]["pretraining"] |= {
        "steps": steps, "warmup_steps": 10, "log_every": 1,
        "batch_size": 32, "micro_batch_size": micro_batch_size,
    }  # fmt: skip
    return params


def last_step(folder):
    """The last logged step of the training in a folder, -1 before the first."""
    path = folder / "logs/pretrain/bat-mini/early/metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    found = [re.match(r'{"step": (\d+),.*}$', line) for line in lines]
    return max((int(match[1]) for match in found if match), default=-1)


@dataclass(frozen=True)
class Pretraining(OnCluster):
    """One training, which a Snakemake runs as a job."""

    runs_of_snakemake: list = field(default_factory=list)

    def command(self, *arguments):
        return super().command(
            *arguments,
            "--retries=30",
            # what slurm/config.yaml has, with a warning as short as these jobs
            "--set-resources", "pretrain:slurm_extra='--signal=USR1@1 --open-mode=append'",
        )  # fmt: skip

    def go_on(self):
        self.runs_of_snakemake.append(self.start(ENCODER))

    @property
    def snakemake(self):
        return self.runs_of_snakemake[-1]

    def end(self):
        """Leave nothing behind, however the test ended."""
        for snakemake in self.runs_of_snakemake:
            if snakemake.poll() is None:
                snakemake.kill()
                snakemake.wait()
        for number, *_ in self.jobs("PENDING", "RUNNING"):
            slurm("scancel", number)

    def step(self):
        return last_step(self.folder)

    def reach(self, step):
        """Wait until a stage has taken a step; return the stage and the job of SLURM it is in."""

        def reached():
            assert self.snakemake.poll() is None, self.output()[-3000:]
            return self.step() >= step

        wait_until(reached, 300)
        (stage,) = [s for s in self.stages() if "pretrain" in s.info["cmdline"]]
        return stage, stage.environ()["SLURM_JOB_ID"]

    def step_when_gone(self, stage):
        """Wait for a stage to end; return how far it came, before another goes on from there."""
        try:
            stage.wait(timeout=90)
        except psutil.TimeoutExpired:
            raise AssertionError(f"the stage lives on: {stage}") from None
        return self.step()

    def checkpoints(self):
        found = self.folder.glob("data/checkpoints/bat-mini/early/*/step-*")
        return sorted(int(path.name.removeprefix("step-")) for path in found)


def by_sigterm(run, stage, job, chance):
    slurm("scancel", "--signal=TERM", job)
    return run.step_when_gone(stage)


def by_sigusr1(run, stage, job, chance):
    slurm("scancel", "--signal=USR1", job)
    return run.step_when_gone(stage)


def by_sigkill(run, stage, job, chance):
    """As the kernel does when memory is short: one process, without a word to the others."""
    stage.kill()
    return run.step_when_gone(stage)


def by_requeue(run, stage, job, chance):
    slurm("scontrol", "requeue", job)
    return run.step_when_gone(stage)


def by_preemption(run, stage, job, chance):
    preempt()
    return run.step_when_gone(stage)


def by_time_limit(run, stage, job, chance):
    """The limit is put in the future, near enough for the warning, or where it is already over.

    SLURM looks at limits every 30 s. The stage is halted until then, at the step that was drawn.
    """
    stage.suspend()
    end = datetime.now() + timedelta(seconds=chance.choice([0, 25]))
    slurm("scontrol", "update", f"JobId={job}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}")
    wait_until(lambda: waiting_signals(stage) & {signal.SIGTERM, signal.SIGUSR1}, 90)
    stage.resume()
    step = run.step_when_gone(stage)
    (state,) = wait_until(
        lambda: [s for number, s, *_ in run.jobs() if number == job and s != "COMPLETING"], 60
    )
    if state != "TIMEOUT":  # it was warned, and runs again under the same number
        slurm("scontrol", "update", f"JobId={job}", "TimeLimit=20")
    return step


def by_scancel(run, stage, job, chance):
    slurm("scancel", job)
    return run.step_when_gone(stage)


def by_the_end_of_snakemake(run, stage, job, chance):
    """Snakemake is killed and started again; its job lives on.

    Every other time a run that cannot reach SLURM takes over first: nobody cancels the job, and it
    must end by itself.
    """
    stage.suspend()
    os.kill(run.snakemake.pid, signal.SIGKILL)
    run.snakemake.wait()
    if len(run.runs_of_snakemake) % 2:
        with python(_TAKE_OVER, run.folder, PATH="/nowhere") as successor:
            assert successor.stdout.readline() == "mine\n"
            stage.resume()
            stage.wait(timeout=60)
            successor.communicate("\n")
    assert not (run.folder / FOLDER / "recipe.json").exists()
    run.go_on()
    return run.step_when_gone(stage)


def waiting_signals(process):
    """Signals that were sent to a process that is halted."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    bits = int(re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[1], 16)
    return {number for number in signal.Signals if bits >> (number - 1) & 1}


WAYS = {
    "SIGTERM": by_sigterm,
    "SIGUSR1": by_sigusr1,
    "SIGKILL": by_sigkill,
    "requeue": by_requeue,
    "preemption": by_preemption,
    "time limit": by_time_limit,
    "scancel": by_scancel,
    "SIGKILL of Snakemake": by_the_end_of_snakemake,
}


def interrupt(run, ways, chance):
    """Interrupt a training in some ways, one after the other; return where (way, step)."""
    places = []
    run.go_on()
    for way in ways:
        stage, job = run.reach(run.step() + chance.randint(INTERVAL + 1, ADVANCE))
        places.append((way, WAYS[way](run, stage, job, chance)))
        assert not (run.folder / FOLDER / "recipe.json").exists(), (way, run.output()[-3000:])
    return places
