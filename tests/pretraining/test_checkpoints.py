"""Checkpoints are whole, verified, and of their own training."""

import json
import logging
import re
import signal

import pytest
import torch

from bat.errors import BatError
from bat.pretraining.checkpoints import Checkpoints
from bat.pretraining.resources import Interval
from bat.runtime import INTERRUPTED, StopSignals
from pretraining.small import BATCHES, rolled, run, same

OWNER = {"host": "here", "process": 1}


def store_in(folder, keep=2):
    return Checkpoints(folder, keep=keep, owner=OWNER)


def some(steps):
    return {"a": torch.full((3, 2), float(steps)), "b.c": torch.tensor(steps)}, {"steps": steps}


def written(folder, *steps, keep=2):
    store = store_in(folder, keep)
    for step in steps:
        assert store.write(*some(step))
    return store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_is_read_and_the_last_few_are_kept(tmp_path):
    store = written(tmp_path, 5, 1000, 12, keep=2)
    assert names(tmp_path) == ["owner.json", "step-000000012", "step-000001000"]
    found = store.newest()
    assert found.facts == {"steps": 1000}
    tensors, _ = some(1000)
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[n], tensors[n]) for n in tensors)


def test_where_there_is_none_there_is_none(tmp_path):
    assert store_in(tmp_path / "new" / "deep").newest() is None


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def claim_other_step(folder):
    """Facts of another step, with a manifest that is right about them."""
    other = folder.parent / "step-000000010"
    for name in ("state.json", "manifest.json", "state.safetensors"):
        (folder / name).write_bytes((other / name).read_bytes())


DAMAGE = {
    "tensors flipped": lambda folder: flip(folder / "state.safetensors", -1),
    "header flipped": lambda folder: flip(folder / "state.safetensors", 9),
    "facts flipped": lambda folder: flip(folder / "state.json", 3),
    "manifest flipped": lambda folder: flip(folder / "manifest.json", 20),
    "tensors cut": lambda folder: cut(folder / "state.safetensors"),
    "facts cut": lambda folder: cut(folder / "state.json"),
    "manifest empty": lambda folder: (folder / "manifest.json").write_bytes(b""),
    "manifest of another kind": lambda folder: (folder / "manifest.json").write_text("{}"),
    "tensors gone": lambda folder: (folder / "state.safetensors").unlink(),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "another step": claim_other_step,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_newest_is_named_and_put_aside_and_the_one_before_is_taken(
    tmp_path, caplog, damage
):
    store = written(tmp_path, 10, 20)
    damage(tmp_path / "step-000000020")
    with caplog.at_level(logging.WARNING, logger="bat"):
        assert store.newest().facts["steps"] == 10
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.match(r".*step-000000020: damaged and not used: \w+", line)
    assert names(tmp_path) == ["damaged-step-000000020", "owner.json", "step-000000010"]
    # the step comes again, and does not mind the damaged one
    assert store.write(*some(20))
    assert store.newest().facts["steps"] == 20


def test_where_all_are_damaged_nothing_starts_anew_by_itself(tmp_path):
    store = written(tmp_path, 10, 20)
    for folder in tmp_path.glob("step-*"):
        cut(folder / "state.json")
    for _ in range(2):  # nor at the second try
        with pytest.raises(BatError, match=r"all 2 checkpoints are damaged; to start anew"):
            store.newest()


def test_an_unfinished_one_is_none_and_is_cleared_away(tmp_path):
    written(tmp_path, 10)
    (tmp_path / ".partial-step-000000020-x").mkdir()
    store = store_in(tmp_path)
    assert store.newest().facts["steps"] == 10
    assert names(tmp_path) == ["owner.json", "step-000000010"]


def test_a_checkpoint_that_cannot_be_written_costs_a_line_and_the_others_stay(tmp_path, caplog):
    store = written(tmp_path, 10)
    # a file where the folder would go: like a full disk, an error of the system
    (tmp_path / "step-000000020").write_text("in the way")
    with caplog.at_level(logging.WARNING, logger="bat"):
        assert not store.write(*some(20))
    assert "step 20 could not be written" in caplog.text
    (tmp_path / "step-000000020").unlink()
    assert names(tmp_path) == ["owner.json", "step-000000010"]
    assert store.newest().facts["steps"] == 10


def test_the_process_that_came_last_owns_the_training(tmp_path):
    older = written(tmp_path, 10)
    newer = Checkpoints(tmp_path, keep=2, owner={"host": "there", "process": 2})
    newer.check_owner()
    with pytest.raises(BatError, match=r"another process has taken over .*host there, process 2"):
        older.write(*some(20))
    assert newer.newest().facts["steps"] == 10
    newer.remove()
    with pytest.raises(BatError, match="taken over"):
        older.check_owner()


def test_removing_leaves_no_empty_folder_and_no_other_training(tmp_path):
    base = tmp_path / "data" / "checkpoints"
    one, other = base / "m" / "g" / "1", base / "m" / "h" / "2"
    store, stays = written(one, 3), written(other, 4)
    store.remove()
    assert names(base / "m") == ["h"]
    assert stays.newest().facts["steps"] == 4
    stays.remove()
    assert not (base / "m").exists()


def test_removing_takes_along_what_was_left_on_the_way_to_the_same_result(tmp_path):
    base = tmp_path / "m" / "g"

    def of(digest, outputs=None):
        store = Checkpoints(base / digest, keep=2, owner=OWNER, outputs=outputs)
        assert store.write(*some(3))
        return store

    of("abandoned", tmp_path / "results")
    of("of another experiment", tmp_path / "elsewhere" / "results")
    of("of nobody knows what")
    of("damaged", tmp_path / "results")
    (base / "damaged" / "owner.json").write_text("{")
    of("published", tmp_path / "results").remove()
    assert names(base) == ["damaged", "of another experiment", "of nobody knows what"]


# --- a training that is interrupted -----------------------------------------------------------


class StopAt(StopSignals):
    """Stops after so many steps, as if a signal came in the middle of the last."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def __call__(self, clips, generator):
        self.left -= 1
        if self.left == 0:
            self.received = signal.SIGTERM
        return rolled(clips, generator)


@pytest.mark.parametrize("kind", ["vit", "cnn"])
@pytest.mark.parametrize("keep", ["student", "teacher"])
def test_a_training_that_goes_on_is_the_one_that_never_stopped(tmp_path, kind, keep):
    changes = {"keep": keep, "micro_batch_size": 2, "gradient_clip": 0.5}
    whole = run(kind=kind, changes=changes)
    for steps in (1, 4, 6):
        stop = StopAt(2 * steps)  # two micro-batches a step
        with pytest.raises(SystemExit) as ended:
            run(stop, kind=kind, changes=changes, stop=stop, checkpoints=lambda: store_in(tmp_path))
        assert ended.value.code == INTERRUPTED
    assert names(tmp_path)[1:] == ["step-000000005", "step-000000011"]
    rest = run(kind=kind, changes=changes, checkpoints=lambda: store_in(tmp_path))
    assert same(rest, whole)
    assert [r["first_step"] for r in rest.runs] == [0, 1, 5, 11]


@pytest.mark.parametrize("every", [1, 5])
def test_how_often_checkpoints_are_written_changes_nothing(tmp_path, every):
    interval = Interval(minutes=60, steps=every)
    assert same(run(checkpoints=lambda: store_in(tmp_path), interval=interval), run())
    last = len(BATCHES) // every * every
    assert store_in(tmp_path).newest().facts["steps"] == last


def test_an_interval_of_minutes_counts_from_the_last_checkpoint(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("bat.pretraining.resources.time.monotonic", lambda: now[0])
    interval = Interval(minutes=10, steps=None)
    assert not interval.is_over(1)
    now[0] += 600
    assert interval.is_over(2)
    interval.begin()
    assert not interval.is_over(3)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    run(checkpoints=lambda: store_in(tmp_path), interval=Interval(minutes=60, steps=5))
    with pytest.raises(BatError, match="not those of this training"):
        run(kind="cnn", checkpoints=lambda: store_in(tmp_path))


def test_a_checkpoint_holds_what_it_says_in_plain_formats(tmp_path):
    run(checkpoints=lambda: store_in(tmp_path), interval=Interval(minutes=60, steps=12))
    folder = tmp_path / "step-000000012"
    assert names(folder) == ["manifest.json", "state.json", "state.safetensors"]
    facts = json.loads((folder / "state.json").read_text())
    assert facts.keys() == {"steps", "curves", "recent_losses", "runs"}
    parts = {name.split(".")[0] for name in store_in(tmp_path).newest().tensors}
    assert parts == {"student", "teacher", "optimizer"}
