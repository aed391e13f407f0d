"""Pretraining by two nodes of a real SLURM is pretraining by two processes of one, bit for bit."""

import json
import os
import socket
import subprocess
import sys

import pytest

from pipeline.conftest import BIN
from pipeline.tiny import REPOSITORY, write_params
from slurm.cluster import queue, slurm, wait_until
from slurm.ways import ENCODER, FOLDER, last_step, training_of

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.usefixtures("cluster"),
]
PRETRAIN = [
    "pretrain", "--model", "bat-mini", "--group", "early",
    "--manifest", "data/manifest/speaker/manifest.parquet",
    "--spectrograms", "data/spectrograms/bat/speaker/spectrograms.safetensors",
    "--out", FOLDER, "--checkpoint-steps", "10",
]  # fmt: skip
STEPS = 200


@pytest.fixture
def by_one_node(heard, tmp_path):
    experiment = heard.copy_to(tmp_path / "one")
    write_params(experiment.folder, training_of(STEPS, micro_batch_size=16))
    done = subprocess.run(
        [sys.executable, "-m", "bat", *PRETRAIN, "--ranks", "2"],
        cwd=experiment.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return experiment


def free_port():
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


def test_two_nodes_are_one_with_two_ranks_and_go_on_when_warned(
    heard, by_one_node, tmp_path, monkeypatch
):
    experiment = heard.copy_to(tmp_path / "two")
    write_params(experiment.folder, training_of(STEPS, micro_batch_size=16))
    monkeypatch.setenv("PATH", os.pathsep.join([str(BIN), os.environ["PATH"]]))
    monkeypatch.setenv("BAT_PORT", str(free_port()))
    job = slurm(
        "sbatch", "--parsable", "--partition=pair", "--nodes=2", f"--chdir={experiment.folder}",
        "--output=job.log", str(REPOSITORY / "slurm/several-nodes.sh"), *PRETRAIN,
    ).strip()  # fmt: skip
    wait_until(lambda: last_step(experiment.folder) >= 30, 120)
    slurm("scancel", "--signal=USR1", job)
    state, nodes = wait_until(
        lambda: [
            (state, nodes)
            for number, state, nodes in queue("%i|%T|%D")
            if number == job and state in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
        ],
        180,
    )[0]
    assert (state, nodes) == ("COMPLETED", "2"), (experiment.folder / "job.log").read_text()[-3000:]
    for name in ("encoder.safetensors", "curves.parquet", "clips.json", "recipe.json"):
        found, expected = (one.read(f"{FOLDER}/{name}") for one in (experiment, by_one_node))
        assert found == expected, name
    runs = json.loads(experiment.read(f"{FOLDER}/run.json"))["runs"]
    assert [run["ranks"] for run in runs] == [2, 2]
    assert 30 < runs[1]["first_step"] < STEPS
    log = (experiment.folder / "job.log").read_text()
    assert "rank 0 of 2" in log
    assert "rank 1 of 2" in log
    assert experiment.planned(ENCODER) == {}  # Snakemake takes it as made
