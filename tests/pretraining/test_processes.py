"""Pretraining as a real command on real audio: interrupted, killed, starved, and by two ranks."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil
import pytest

from bat.provenance.recipe import read_recipe, verify_file
from pipeline.tiny import REPOSITORY, tinier_params, write_params

STEPS = 150
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
BEFORE = """
download --dataset meetings --out data/source/meetings
resample --dataset meetings --source data/source/meetings/archive --out data/pcm/meetings
prepare --task speaker --ledger data/pcm/meetings/ledger.parquet --pcm data/pcm/meetings/pcm.npy
 --pcm data/pcm/meetings/index.parquet --out data/manifest/speaker
frontend --frontend bat --task speaker --manifest data/manifest/speaker/manifest.parquet
 --pcm data/pcm/meetings/pcm.npy --pcm data/pcm/meetings/index.parquet
 --out data/spectrograms/bat/speaker
"""
# One process for all of them: most of a stage's time is its start.
ALL_IN_ONE = (
    "import sys\nfrom bat.cli import app\n"
    "for line in sys.argv[1:]:\n    app(line.split(), standalone_mode=False)\n"
)
PRETRAIN = [
    "pretrain", "--model", "bat-mini", "--group", "early",
    "--manifest", "data/manifest/speaker/manifest.parquet",
    "--spectrograms", "data/spectrograms/bat/speaker/spectrograms.safetensors",
    "--out", "results/pretrain/bat-mini/early",
]  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    folder: Path

    @property
    def out(self):
        return self.folder / "results/pretrain/bat-mini/early"

    def start(self, *options, launcher=(sys.executable, "-m", "bat")):
        with (self.folder / "output.log").open("ab") as log:
            return subprocess.Popen(
                [*launcher, *PRETRAIN, *options],
                cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def finish(self, *options, **how):
        process = self.start(*options, **how)
        assert process.wait(timeout=300) == 0, self.log()
        return self

    def log(self):
        return (self.folder / "output.log").read_text()

    def step(self):
        """The last logged step, -1 before the first."""
        path = self.folder / "logs/pretrain/bat-mini/early/metrics.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        found = [re.match(r'{"step": (\d+),.*}$', line) for line in lines]
        return max((int(match[1]) for match in found if match), default=-1)

    def reach(self, step, process):
        """Wait until the training is past a step."""
        deadline = time.monotonic() + 240
        while self.step() < step:
            assert process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)

    def outputs(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}

    def runs(self):
        return json.loads((self.out / "run.json").read_text())["runs"]

    def checkpoints(self):
        return sorted(self.folder.glob("data/checkpoints/bat-mini/early/*/step-*"))

    def copy_to(self, folder):
        shutil.copytree(self.folder, folder)
        return Experiment(folder)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """All that pretraining needs; do not change it, copy it."""
    experiment = Experiment(tmp_path_factory.mktemp("ready") / "run")
    experiment.folder.mkdir()
    params = tinier_params()
    params["models"]["bat-mini"]["pretraining"] |= {
        "steps": STEPS, "warmup_steps": 10, "batch_size": 8, "micro_batch_size": 4, "log_every": 1,
    }  # fmt: skip
    write_params(experiment.folder, params)
    done = subprocess.run(
        [sys.executable, "-c", ALL_IN_ONE, *BEFORE.replace("\n ", " ").strip().splitlines()],
        cwd=experiment.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return experiment


@pytest.fixture(scope="module")
def uninterrupted(ready, tmp_path_factory):
    return ready.copy_to(tmp_path_factory.mktemp("uninterrupted") / "run").finish()


def assert_same_result(found, expected):
    found_outputs, expected_outputs = found.outputs(), expected.outputs()
    assert found_outputs.keys() == expected_outputs.keys()
    for name in found_outputs.keys() - {"run.json"}:
        assert found_outputs[name] == expected_outputs[name], name
    for name in ("encoder.safetensors", "curves.parquet"):
        verify_file(found.out / name, read_recipe(found.out))
    assert not (found.folder / "data/checkpoints/bat-mini").exists()


def test_interrupted_ten_times_it_gives_the_same_bytes_as_if_it_never_was(
    ready, uninterrupted, tmp_path
):
    experiment = ready.copy_to(tmp_path / "run")
    chance = random.Random(20260218)
    signals = [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL] * 4
    for number, step in zip(signals, sorted(chance.sample(range(STEPS - 20), 10)), strict=False):
        process = experiment.start(
            "--checkpoint-steps", str(chance.randint(1, 9)), "--workers", str(chance.randint(0, 2))
        )
        experiment.reach(step, process)
        process.send_signal(number)
        status = process.wait(timeout=60)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 75), experiment.log()
        assert not (experiment.out / "recipe.json").exists()
        assert 1 <= len(experiment.checkpoints()) <= 2
    experiment.finish()
    assert_same_result(experiment, uninterrupted)
    begun = [run["first_step"] for run in experiment.runs()]
    assert len(begun) == 11
    assert begun == sorted(begun)
    assert begun[-1] > 0
    assert [run["first_step"] for run in uninterrupted.runs()] == [0]


@pytest.fixture(scope="module")
def stopped(ready, tmp_path_factory):
    """A training that was stopped after step 50; do not change it, copy it."""
    experiment = ready.copy_to(tmp_path_factory.mktemp("stopped") / "run")
    process = experiment.start("--checkpoint-steps", "20")
    experiment.reach(50, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    return experiment


def test_a_damaged_newest_checkpoint_costs_steps_and_nothing_else(stopped, uninterrupted, tmp_path):
    experiment = stopped.copy_to(tmp_path / "run")
    *_, before, newest = experiment.checkpoints()
    weights = bytearray((newest / "state.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (newest / "state.safetensors").write_bytes(weights)
    experiment.finish()
    log = experiment.log()
    assert f"{newest.name}: damaged and not used: ValueError: state.safetensors: expected" in log
    assert f"goes on from step {int(before.name.removeprefix('step-'))}" in log
    assert_same_result(experiment, uninterrupted)


def test_another_training_never_goes_on_from_these_checkpoints(stopped, tmp_path):
    experiment = stopped.copy_to(tmp_path / "run")
    path = experiment.folder / "params.yaml"
    assert f" steps: {STEPS}\n" in path.read_text()
    path.write_text(path.read_text().replace(f" steps: {STEPS}\n", " steps: 25\n"))
    abandoned = experiment.checkpoints()
    shutil.rmtree(experiment.folder / "logs")
    process = experiment.start()
    experiment.reach(10, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    # they are still there, for whoever changes the parameters back
    assert {*abandoned} < {*experiment.checkpoints()}
    experiment.finish()
    assert [run["first_step"] > 0 for run in experiment.runs()] == [False, True]
    # nobody will: the result is there
    assert not experiment.checkpoints()


def test_a_full_disk_costs_checkpoints_and_not_the_training(ready, uninterrupted, tmp_path):
    """A real full disk: a small file system, in a mount namespace of the test's own."""
    experiment = ready.copy_to(tmp_path / "run")
    (experiment.folder / "small").mkdir()
    # holds one checkpoint of about 0.7 MB and a part of a second
    script = (
        "mount -t tmpfs -o size=1000k tmpfs small && "
        f"{sys.executable} -m bat {' '.join(PRETRAIN)} --checkpoints small --checkpoint-steps 40"
    )
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        namespace = ["unshare", "--mount", "sh", "-c"]
    done = subprocess.run(
        [*namespace, script],
        cwd=experiment.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mount" in done.stderr and "permitted" in done.stderr:
        pytest.skip("this system lets a test neither make a namespace nor mount a tmpfs")
    assert done.returncode == 0, done.stderr
    assert "checkpoint at step 40, " in done.stderr
    for step in (80, 120):
        assert re.search(
            rf"checkpoint at step {step} could not be written \(.*[Nn]o space.*\); "
            "the newest is of step 40",
            done.stderr,
        ), done.stderr
    assert_same_result(experiment, uninterrupted)


# --- two ranks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_two(ready, tmp_path_factory):
    """The same training by two processes that torchrun started."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone"]
    return ready.copy_to(tmp_path_factory.mktemp("two") / "run").finish(
        launcher=[*torchrun, "--nproc-per-node", "2", "-m", "bat"]
    )


def test_two_ranks_give_the_losses_of_one_with_twice_the_accumulation(uninterrupted, by_two):
    assert [run["ranks"] for run in by_two.runs()] == [2]
    one, two = (
        pl.read_parquet(experiment.out / "curves.parquet") for experiment in (uninterrupted, by_two)
    )
    for name in ("global_loss", "local_loss"):
        error = (two[name] / one[name] - 1).abs()[:20].max()
        assert error < 1e-5, (name, error)
    for name in ("target_clip_variance", "embedding_variance", "gradient_norm"):
        assert (two[name] / one[name] - 1).abs()[:20].max() < 1e-4, name
    # what determines the result does not name the ranks
    assert read_recipe(by_two.out).wanted == read_recipe(uninterrupted.out).wanted


def rank_of(process, rank):
    """The process of a rank below its launcher."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child
    raise AssertionError("no such rank")


def test_a_killed_rank_ends_all_and_interrupted_ranks_go_on(ready, by_two, tmp_path):
    experiment = ready.copy_to(tmp_path / "run")
    process = experiment.start("--ranks", "2", "--checkpoint-steps", "10")
    experiment.reach(25, process)
    rank_of(process, 1).kill()
    assert process.wait(timeout=60) == 1
    log = experiment.log()
    assert "rank 0: error: pretraining: rank 0 of 2 lost another rank" in log
    assert "rank 1 of 2 ended with signal 9 and the others were stopped" in log

    process = experiment.start("--ranks", "2")
    experiment.reach(50, process)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 75, experiment.log()
    experiment.finish("--ranks", "2")
    assert [run["first_step"] for run in experiment.runs()][:2] == [0, 20]
    assert_same_result(experiment, by_two)
