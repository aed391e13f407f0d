import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.errors import BatError
from bat.optimisation.batches import (
    inverse_frequency_of_first_label,
    mean_inverse_class_frequency,
    shuffled_batches,
    weighted_batches,
)

WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0])


def chi_square(found, expected):
    return float(((found - expected) ** 2 / expected).sum())


def test_an_epoch_of_shuffled_batches_has_every_clip_once():
    order = shuffled_batches(12, steps=6, batch_size=4, seed=0).view(2, 12)
    assert order.sort(dim=1).values.tolist() == [list(range(12))] * 2
    assert not torch.equal(order[0], order[1])


def test_with_replacement_clips_come_in_proportion_to_their_weights():
    batches = weighted_batches(WEIGHTS, steps=500, batch_size=20, seed=0, replacement=True)
    assert batches.shape == (500, 20)
    found = batches.flatten().bincount(minlength=4)
    # Three degrees of freedom: 16.3 is exceeded once in a thousand.
    assert chi_square(found, 10_000 * WEIGHTS / WEIGHTS.sum()) < 16.3


def test_with_replacement_a_batch_may_exceed_the_clips():
    assert weighted_batches(
        torch.ones(3), steps=2, batch_size=8, seed=0, replacement=True
    ).shape == (2, 8)


def test_without_replacement_the_first_two_draws_follow_the_law_of_an_urn():
    order = weighted_batches(
        WEIGHTS, steps=5000, batch_size=2, seed=0, replacement=False, clips_per_epoch=2
    )
    share = (WEIGHTS / WEIGHTS.sum()).double()
    # The second is drawn from what the first has left.
    law = share[:, None] * share / (1 - share[:, None])
    law.fill_diagonal_(0)
    found = (order[:, 0] * 4 + order[:, 1]).bincount(minlength=16).view(4, 4)
    pairs = ~torch.eye(4, dtype=torch.bool)
    assert not found[~pairs].any()
    # Eleven degrees of freedom: 31.3 is exceeded once in a thousand.
    assert chi_square(found[pairs], 5000 * law[pairs]) < 31.3


@given(
    clips=st.integers(1, 30),
    share=st.floats(0.05, 1.0),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_no_clip_repeats_within_an_epoch_without_replacement(clips, share, batch_size, seed):
    epoch = max(1, int(share * clips))
    weights = torch.rand(clips, generator=torch.Generator().manual_seed(seed)) + 0.01
    batches = weighted_batches(
        weights, steps=9, batch_size=batch_size, seed=seed, replacement=False, clips_per_epoch=epoch
    )
    assert batches.shape == (9, min(batch_size, epoch))
    for part in batches.flatten().split(epoch):
        assert len(part.unique()) == len(part)


def test_without_a_length_an_epoch_has_every_clip_of_positive_weight():
    weights = torch.tensor([0.0, 5.0, 1.0, 0.0, 2.0])
    batches = weighted_batches(weights, steps=4, batch_size=3, seed=1, replacement=False)
    assert batches.sort(dim=1).values.tolist() == [[1, 2, 4]] * 4


@pytest.mark.parametrize("replacement", [True, False])
def test_a_seed_gives_the_same_batches_again_and_the_scale_of_weights_none(replacement):
    def draw(weights, seed):
        return weighted_batches(
            weights, steps=5, batch_size=2, seed=seed, replacement=replacement
        ).tolist()

    assert draw(WEIGHTS, 3) == draw(WEIGHTS, 3) == draw(WEIGHTS * 1024, 3)
    assert draw(WEIGHTS, 3) != draw(WEIGHTS, 4)


@pytest.mark.parametrize("replacement", [True, False])
def test_a_clip_of_weight_0_is_never_drawn(replacement):
    weights = torch.tensor([0.0, 1.0, 1.0])
    batches = weighted_batches(weights, steps=200, batch_size=2, seed=0, replacement=replacement)
    assert not (batches == 0).any()


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.ones(2, 2), {}, r"weights \[N\].*found shape \[2, 2\]"),
        (torch.tensor([1.0, -1.0]), {}, "at least 0, .*1 not"),
        (torch.tensor([1.0, float("nan")]), {}, "finite"),
        (torch.tensor([1.0, float("inf")]), {}, "finite"),
        (torch.zeros(3), {}, "positive weight, found none among 3"),
        (torch.ones(0), {}, "positive weight, found none among 0"),
        (torch.ones(3), {"clips_per_epoch": 4}, "1 to 3 clips per epoch .*found 4"),
        (torch.ones(3), {"clips_per_epoch": 0}, "1 to 3 clips per epoch .*found 0"),
        (torch.ones(3), {"clips_per_epoch": 2, "replacement": True}, "with replacement, found 2"),
    ],
)
def test_weights_and_epochs_that_cannot_be_are_refused(weights, options, message):
    with pytest.raises(BatError, match=message):
        weighted_batches(
            weights, **{"steps": 2, "batch_size": 2, "seed": 0, "replacement": False} | options
        )


PRESENT = torch.tensor(
    [
        [1, 0, 0],
        [1, 1, 0],
        [0, 1, 1],
        [1, 0, 1],
        [0, 0, 0],
    ],
    dtype=torch.bool,
)


def test_first_labels_are_the_first_in_class_order_and_count_as_such():
    # First labels: class 0 three times, class 1 once, class 2 never.
    found = inverse_frequency_of_first_label(PRESENT)
    assert found.tolist() == pytest.approx([1 / 3, 1 / 3, 1.0, 1 / 3, 0.0])


def test_a_clip_of_several_labels_has_the_mean_of_their_inverse_frequencies():
    # Clips per class: 3, 2, 2.
    found = mean_inverse_class_frequency(PRESENT)
    assert found.tolist() == pytest.approx([1 / 3, 5 / 12, 1 / 2, 5 / 12, 0.0])


@pytest.mark.parametrize("weigh", [inverse_frequency_of_first_label, mean_inverse_class_frequency])
def test_weights_of_presence_in_numpy_are_the_same(weigh):
    assert torch.equal(weigh(PRESENT.numpy()), weigh(PRESENT))


@given(
    present=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=20).map(
        lambda rows: torch.tensor(rows, dtype=torch.bool)
    )
)
@settings(max_examples=60, deadline=None)
def test_weights_are_finite_and_0_only_without_labels(present):
    for weigh in (inverse_frequency_of_first_label, mean_inverse_class_frequency):
        weights = weigh(present)
        assert weights.shape == (len(present),) and bool(weights.isfinite().all())
        assert torch.equal(weights > 0, present.any(dim=1))


def test_every_class_is_drawn_equally_often_as_a_first_label():
    first = torch.tensor([0] * 90 + [1] * 9 + [2])
    present = torch.nn.functional.one_hot(first, 3).bool()
    weights = inverse_frequency_of_first_label(present)
    batches = weighted_batches(weights, steps=300, batch_size=10, seed=0, replacement=True)
    # Two degrees of freedom: 13.8 is exceeded once in a thousand.
    assert chi_square(first[batches.flatten()].bincount(minlength=3), torch.full((3,), 1000)) < 13.8


@pytest.mark.parametrize("weigh", [inverse_frequency_of_first_label, mean_inverse_class_frequency])
@pytest.mark.parametrize("present", [np.ones((2, 3)), np.ones(3, dtype=bool)])
def test_presence_of_the_wrong_kind_is_refused(weigh, present):
    with pytest.raises(BatError, match=r"presence \[N, C\] of torch.bool, found"):
        weigh(present)
