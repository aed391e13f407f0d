"""Global batches, their division, and random numbers that depend on their place alone."""

import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bat.errors import BatError
from bat.pretraining import trainer
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.micro_batches import MicroBatch, divide, prepare_ahead
from bat.pretraining.randomness import generator_for
from bat.pretraining.ranks import Ranks
from bat.pretraining.step import Student, accumulated_step, pretraining_step, teacher_of
from pretraining.small import BATCHES, CLIPS, GRID, SETTINGS, decoder, encoder, rolled, run, same


@given(size=st.integers(1, 6), each=st.integers(1, 5), ranks=st.integers(1, 4), extra=st.booleans())
def test_every_clip_of_a_batch_is_in_one_micro_batch_of_one_rank(size, each, ranks, extra):
    batch = torch.arange(size * each * ranks)
    shares = [divide(len(batch), size, rank=r, ranks=ranks) for r in range(ranks)]
    found = [d.clips(batch, place) for d in shares for place in d.own]
    assert torch.equal(torch.cat(found), batch)
    assert {len(clips) for clips in found} == {size}
    assert {d.count for d in shares} == {each * ranks}
    if extra and size * ranks > 1:
        with pytest.raises(BatError, match=rf"{ranks} ranks and micro_batch_size {size}"):
            divide(len(batch) + 1, size, rank=0, ranks=ranks)


def test_a_whole_batch_is_for_one_rank():
    assert divide(8, None, rank=0, ranks=1).own == range(1)
    with pytest.raises(BatError, match="batch_size 8, 2 ranks and micro_batch_size None"):
        divide(8, None, rank=1, ranks=2)


def test_numbers_depend_on_seed_step_place_and_purpose_and_on_nothing_else():
    def drawn(purpose="mask", seed=1, step=2, micro_batch=3):
        return torch.rand(
            4, generator=generator_for(purpose, seed=seed, step=step, micro_batch=micro_batch)
        ).tolist()

    torch.manual_seed(5)
    assert drawn() == drawn()
    others = [drawn(purpose="input"), drawn(seed=2), drawn(step=3), drawn(micro_batch=2)]
    others += [drawn(purpose="noise"), drawn(step=3, micro_batch=2)]
    assert len({tuple(numbers) for numbers in [drawn(), *others]}) == 7


class OneOf(Ranks):
    """One of several ranks, of which the others are not there: enough to prepare its clips."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def prepared(ranks, monkeypatch):
    """Masks and clips of every micro-batch that a rank passes through the model, by its place."""
    found = {}
    real = trainer._Trainer._prepare

    def remembered(self, key):
        found[key] = micro = real(self, key)
        return micro

    monkeypatch.setattr(trainer._Trainer, "_prepare", remembered)
    run(changes={"micro_batch_size": 1}, ranks=ranks)
    monkeypatch.undo()
    return found


def test_ranks_have_masks_and_rolls_of_their_own_and_together_those_of_one(monkeypatch):
    alone = prepared(Ranks(), monkeypatch)
    first, second = (prepared(OneOf(rank, 2), monkeypatch) for rank in (0, 1))
    assert first.keys() | second.keys() == alone.keys()
    assert not first.keys() & second.keys()
    for key, micro in [*first.items(), *second.items()]:
        assert torch.equal(micro.keep_BVn, alone[key].keep_BVn)
        assert torch.equal(micro.spectrogram, alone[key].spectrogram)
    for step in range(len(BATCHES)):
        masks = [alone[step, place].keep_BVn for place in range(4)]
        assert not all(torch.equal(masks[0], mask) for mask in masks[2:])


def micro_batches(size):
    keep = inverse_block_mask(
        16, grid=GRID, mask_ratio=0.75, block=1, generator=torch.Generator().manual_seed(3)
    ).view(8, 2, -1)
    return [
        MicroBatch(spectrogram=CLIPS[at : at + size], keep_BVn=keep[at : at + size])
        for at in range(0, 8, size)
    ]


def trained_once(step):
    student = Student(encoder(), decoder())
    teacher = teacher_of(student.encoder)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    losses = step(student, teacher, optimizer)
    return losses, [*student.parameters(), *teacher.parameters()]


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_micro_batches_give_the_step_of_the_whole_batch(size, clip):
    (whole,) = micro_batches(8)
    expected, moved = trained_once(
        lambda *trained: pretraining_step(
            *trained, whole.spectrogram, whole.keep_BVn, ema_decay=0.5, gradient_clip=clip
        )
    )
    found, moved_too = trained_once(
        lambda *trained: accumulated_step(
            *trained,
            micro_batches(size),
            micro_batches=8 // size,
            ema_decay=0.5,
            gradient_clip=clip,
        )
    )
    for name in ("global_loss", "local_loss", "gradient_norm"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
    for one, other in zip(moved_too, moved, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_is_prepared_ahead_comes_in_order(workers):
    def slow_for_even(key):
        time.sleep(0.01 * (key % 2 == 0))
        return key * key

    found = list(prepare_ahead(slow_for_even, range(9), workers=workers))
    assert found == [key * key for key in range(9)]


def test_threads_prepare_while_others_work_and_an_error_reaches_them():
    threads = set()

    def prepare(key):
        threads.add(threading.current_thread().name)
        if key == 4:
            raise BatError("clip 4 is broken")
        return key

    ready = prepare_ahead(prepare, range(100), workers=2)
    assert [next(ready) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(BatError, match="clip 4"):
        next(ready)
    assert not any(name == threading.main_thread().name for name in threads)


@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_workers_do_not_change_a_training(kind):
    changes = {"micro_batch_size": 2}
    alone = run(kind=kind, changes=changes)
    assert same(alone, run(kind=kind, changes=changes, workers=3))
    assert not same(alone, run(kind=kind))


def test_a_micro_batch_larger_than_its_batch_of_few_clips_is_an_error():
    with pytest.raises(BatError, match="micro_batch_size 3"):
        run(rolled, changes=SETTINGS | {"micro_batch_size": 3})
