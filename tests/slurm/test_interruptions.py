"""Pretraining by a real SLURM, interrupted in every way: the bytes of one that never was."""

import json
import os
from collections import Counter
from random import Random

import pytest

from pipeline.tiny import write_params
from slurm.ways import ENCODER, FOLDER, INTERVAL, WAYS, Pretraining, interrupt, training_of

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.usefixtures("cluster"),
]
SEED = int(os.environ.get("BAT_TEST_SEED", "20260218"))
# One training that is interrupted once in every way; or, when asked for, as it takes an hour, eight
# that are interrupted ten times each.
STEPS, TRAININGS = 500, {"every way": [*WAYS]}
if "BAT_TEST_EVERY_WAY_TEN_TIMES" in os.environ:
    STEPS, TRAININGS = 800, {way: [way] * 10 for way in WAYS}


@pytest.fixture(scope="module")
def uninterrupted(heard, tmp_path_factory):
    """The training by the local workflow."""
    experiment = heard.copy_to(tmp_path_factory.mktemp("uninterrupted") / "run")
    write_params(experiment.folder, training_of(STEPS))
    experiment.build(ENCODER)
    return experiment


@pytest.fixture
def run(heard, tmp_path, monkeypatch):
    monkeypatch.setenv("BAT_CHECKPOINT_STEPS", str(INTERVAL))
    heard.copy_to(tmp_path / "run")
    write_params(tmp_path / "run", training_of(STEPS))
    pretraining = Pretraining(tmp_path / "run")
    yield pretraining
    pretraining.end()


@pytest.mark.parametrize("ways", TRAININGS.values(), ids=TRAININGS)
def test_interrupted_in_every_way_it_gives_the_same_bytes(run, uninterrupted, ways, capsys):
    chance = Random(f"{SEED} {ways[0]}")
    ways = chance.sample(ways, len(ways))
    interruptions = interrupt(run, ways, chance)
    assert run.snakemake.wait(timeout=400) == 0, run.output()[-3000:]

    for name in ("encoder.safetensors", "curves.parquet", "clips.json", "recipe.json"):
        assert run.read(f"{FOLDER}/{name}") == uninterrupted.read(f"{FOLDER}/{name}"), name
    assert not run.checkpoints()
    # From the first step once; then always from a checkpoint, and never one that is long past.
    begun = [one["first_step"] for one in json.loads(run.read(f"{FOLDER}/run.json"))["runs"]]
    with capsys.disabled():
        print(
            f"\nseed {SEED}, {STEPS} steps: interrupted", dict(Counter(w for w, _ in interruptions))
        )
        for (way, step), first in zip(interruptions, begun[1:], strict=False):
            print(f"  {way} at step {step}, on from step {first}")
    assert len(begun) == len(interruptions) + 1
    assert begun[0] == 0
    for (way, step), first in zip(interruptions, begun[1:], strict=True):
        assert 0 < step < STEPS - 1, (way, step)
        assert step - INTERVAL < first <= step + 1, (way, step, first)
