"""The workflow as a user runs it: real Snakemake, ffmpeg and audio, in a folder of its own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.tiny import REPOSITORY, write_params

BIN = Path(sys.executable).parent
MAIN = "results/tables/main.csv"


@dataclass(frozen=True)
class Experiment:
    """A folder with a parameter file, in which the workflow is run."""

    folder: Path

    def command(self, *arguments):
        return [
            str(BIN / "snakemake"),
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--directory",
            str(self.folder),
            "--cores",
            "2",
            *arguments,
        ]

    def snakemake(self, *arguments, env=None):
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def bat(self, *arguments):
        return subprocess.run(
            [str(BIN / "bat"), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, *arguments):
        done = self.snakemake(*arguments)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout + done.stderr

    def planned(self, *arguments, env=None):
        """Jobs that would run, by rule."""
        done = self.snakemake("--dry-run", *arguments, env=env)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        lines = (done.stdout + done.stderr).splitlines()
        starts = [i for i, line in enumerate(lines) if line.split() == ["job", "count"]]
        if not starts:
            assert any("Nothing to be done" in line for line in lines), done.stdout
            return {}
        start, jobs = starts[0], {}
        for line in lines[start + 2 :]:
            rule, count = line.split()
            if rule == "total":
                return {name: jobs[name] for name in jobs if name != "all"}
            jobs[rule] = int(count)
        raise AssertionError("no total in the plan")

    def read(self, name):
        return (self.folder / name).read_bytes()

    def recipes(self):
        """Bytes of every recipe by its path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("recipe.json"))
        }

    def copy_to(self, folder):
        shutil.copytree(self.folder, folder, symlinks=True)
        return Experiment(folder)


def new_experiment(folder, params):
    folder.mkdir(parents=True, exist_ok=True)
    write_params(folder, params)
    return Experiment(folder)


@pytest.fixture
def copy(finished, tmp_path):
    return finished.copy_to(tmp_path / "copy")
