"""The workflow on a real SLURM of one node, and what SLURM says of it."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.conftest import BIN, Experiment
from pipeline.tiny import REPOSITORY

PROFILE = REPOSITORY / "slurm" / "small"


@dataclass(frozen=True)
class OnCluster(Experiment):
    """An experiment whose jobs SLURM runs."""

    def command(self, *arguments):
        return [
            str(BIN / "snakemake"),
            f"--snakefile={REPOSITORY / 'Snakefile'}",
            f"--directory={self.folder}",
            f"--profile={PROFILE}",
            *arguments,
            "--configfile=params.yaml",
        ]

    def start(self, *arguments):
        with (self.folder / "output.log").open("ab") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def output(self):
        return (self.folder / "output.log").read_text(encoding="utf-8")

    def jobs(self, *states):
        """What SLURM knows of this folder's jobs: (number, state, comment, start, end)."""
        return [
            tuple(fields)
            for *fields, folder in queue("%i|%T|%k|%S|%e|%Z")
            if Path(folder) == self.folder and (not states or fields[1] in states)
        ]

    def stages(self):
        """Processes of stages that run in this folder, whoever started them."""
        return [
            process
            for process in psutil.process_iter(["cwd", "cmdline"])
            if process.info["cwd"] == str(self.folder)
            and any(Path(word).name == "bat" for word in (process.info["cmdline"] or [])[:2])
        ]


def queue(fields):
    """Every job that SLURM knows, ended ones too."""
    lines = slurm("squeue", "--states=all", "--noheader", f"--format={fields}").splitlines()
    return [line.split("|") for line in lines]


def slurm(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def preempt(*options, spared=0):
    """Submit a job of the urgent partition that needs all processors but some."""
    cpus = int(slurm("sinfo", "--noheader", "--format=%c").split()[0])
    slurm(
        "sbatch", *options, "--partition=urgent", f"--ntasks={cpus - spared}", "--mem=10",
        "--output=/dev/null", "--wrap=true",
    )  # fmt: skip


def wait_until(condition, seconds):
    """Return what a condition gives as soon as that is something; fail after a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def python(script, folder, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
