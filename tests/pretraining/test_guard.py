"""A training that goes wrong stops, says where, and leaves nothing bad to go on from."""

import json
import math

import pytest
import torch

from bat.errors import BatError
from bat.pretraining.checkpoints import Checkpoints
from bat.pretraining.guard import LossGuard
from bat.pretraining.resources import Interval
from pretraining.small import BATCHES, rolled, run


def store_in(folder):
    return Checkpoints(folder, keep=20, owner={})


EVERY_STEP = Interval(minutes=60, steps=1)


class Spoilt:
    """Inputs that are not numbers from some step on."""

    def __init__(self, step):
        self.left = step

    def __call__(self, clips, generator):
        self.left -= 1
        return rolled(clips, generator) + (math.nan if self.left < 0 else 0.0)


@pytest.mark.parametrize("every", [1, 4])
def test_a_loss_that_is_no_number_stops_with_the_step_the_clips_and_a_saved_state(tmp_path, every):
    def named(clips):
        return [f"clip-{c}" for c in clips.tolist()]

    with pytest.raises(BatError) as stopped:
        run(
            Spoilt(6),
            names_of=named,
            checkpoints=lambda: store_in(tmp_path),
            interval=Interval(minutes=60, steps=every),
        )
    message = str(stopped.value)
    assert "the loss is nan at step 6" in message
    assert ", ".join(named(BATCHES[6])) in message
    saved = tmp_path / "stopped-at-step-000000007"
    assert str(saved) in message
    facts = json.loads((saved / "state.json").read_text())
    assert (facts["step"], facts["clips"]) == (6, named(BATCHES[6]))
    assert facts["clips_of_the_step_before"] == named(BATCHES[5])
    # what a later run would take was sound
    newest = store_in(tmp_path).newest()
    assert newest.facts["steps"] == 6 // every * every
    assert all(value.isfinite().all() for value in newest.tensors.values())


def test_a_weight_that_is_no_number_never_becomes_a_checkpoint_nor_an_output(tmp_path, monkeypatch):
    real, taken = torch.optim.AdamW.step, []

    def poisoned(self, *arguments):
        real(self, *arguments)
        taken.append(1)
        if len(taken) == len(BATCHES):  # after the last loss
            self.param_groups[0]["params"][0].data.fill_(math.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", poisoned)
    with pytest.raises(BatError, match="a weight or moment is not finite at step 11"):
        run(checkpoints=lambda: store_in(tmp_path), interval=EVERY_STEP)
    assert store_in(tmp_path).newest().facts["steps"] == 11


def test_an_exploding_training_stops():
    batches = torch.randint(12, (80, 4), generator=torch.Generator().manual_seed(2))
    wild = {"learning_rate": 10.0, "warmup_steps": 40, "explosion": 1.5, "log_every": 10}
    with pytest.raises(BatError, match=r"above 1\.5 times its running median"):
        run(batches=batches, changes=wild)
    run(batches=batches, changes=wild | {"explosion": None})


def test_the_guard_knows_explosion_from_noise_and_remembers():
    guard = LossGuard(3.0)
    for step in range(30):
        assert guard.look(step, loss=1.0 + step % 3, gradient_norm=1.0) is None
    again = LossGuard(3.0, guard.recent)
    for judge in (guard, again):
        assert judge.look(30, loss=5.9, gradient_norm=1.0) is None
        trouble = judge.look(31, loss=6.1, gradient_norm=1.0)
        assert (trouble.step, "6.1, above 3 times" in trouble.what) == (31, True)
    assert guard.look(32, loss=1.0, gradient_norm=math.inf).what == "the gradient's norm is inf"
    assert LossGuard(3.0).look(0, loss=1e9, gradient_norm=1.0) is None  # nothing to compare with
