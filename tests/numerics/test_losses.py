import itertools

import pytest
import torch
import torch.nn.functional as F

from bat.errors import BatError
from bat.optimisation.losses import asymmetric_loss, ctc_loss, loss_function
from numerics.conformance import load_case, relative_error


def test_asymmetric_loss_and_gradient_equal_the_reference():
    tensors, meta = load_case("asymmetric_loss")
    logits = tensors["logits"].requires_grad_()
    loss = asymmetric_loss(
        logits,
        tensors["targets"],
        gamma_negative=meta["gamma_neg"],
        gamma_positive=meta["gamma_pos"],
    )
    loss.backward()
    assert loss.item() == pytest.approx(tensors["loss"].item(), rel=1e-6)
    assert relative_error(logits.grad, tensors["grad"]) < 1e-6


def test_asymmetric_loss_without_focus_is_binary_cross_entropy():
    logits, soft = torch.randn(4, 6), torch.rand(4, 6)
    found = asymmetric_loss(logits, soft, gamma_negative=0.0, gamma_positive=0.0)
    expected = F.binary_cross_entropy_with_logits(logits, soft)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_asymmetric_loss_of_soft_labels_lies_between_those_of_hard_ones(share):
    logits = torch.randn(5, 3)
    present, absent = torch.ones(5, 3), torch.zeros(5, 3)
    hard = [float(asymmetric_loss(logits, labels)) for labels in (absent, present)]
    soft = float(asymmetric_loss(logits, share * present))
    assert min(hard) - 1e-6 <= soft <= max(hard) + 1e-6
    if share in (0.0, 1.0):
        assert soft == pytest.approx(hard[int(share)], rel=1e-6)


def test_asymmetric_loss_of_certain_scores_is_finite():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[0.0, 1.0]]))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["binary_cross_entropy", "asymmetric"])
def test_a_frame_wise_loss_is_the_mean_over_clips_frames_and_classes(name):
    logits = torch.randn(2, 7, 3, requires_grad=True)
    present = (torch.rand(2, 7, 3) < 0.3).float()
    loss = loss_function(name)(logits, present)
    each = torch.stack(
        [
            loss_function(name)(logits[b, t], present[b, t])
            for b, t in itertools.product(range(2), range(7))
        ]
    )
    assert loss.item() == pytest.approx(each.mean().item(), rel=1e-5)
    loss.backward()
    assert logits.grad.shape == (2, 7, 3)


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(BatError, match="asymmetric, binary_cross_entropy, cross_entropy"):
        loss_function("hinge")


def spelled(path):
    """The characters that an alignment stands for: repeats merged, then blanks dropped."""
    return [key for key, _ in itertools.groupby(path) if key != 0]


def test_ctc_loss_sums_over_all_alignments():
    logits = torch.randn(1, 4, 3)
    probability = logits.softmax(dim=2)[0]
    truth = [1, 1]
    total = sum(
        probability[range(4), path].prod()
        for path in itertools.product(range(3), repeat=4)
        if spelled(path) == truth
    )
    found = ctc_loss(logits, torch.tensor([truth]), torch.tensor([2]))
    torch.testing.assert_close(found, -total.log() / 2, rtol=1e-5, atol=0)


def test_ctc_loss_takes_lists_and_ignores_what_lies_beyond_a_length():
    logits = torch.randn(2, 9, 5)
    listed = [torch.tensor([1, 2, 3]), torch.tensor([4])]
    lengths = torch.tensor([3, 1])
    padded = torch.tensor([[1, 2, 3, 4], [4, 4, 0, 9]])
    found = ctc_loss(logits, padded, lengths)
    torch.testing.assert_close(found, ctc_loss(logits, listed, lengths))
    torch.testing.assert_close(found, ctc_loss(logits, listed, lengths, torch.tensor([9, 9])))
    changed = logits.clone()
    changed[1, 5:] = 0.0
    shorter = torch.tensor([9, 5])
    torch.testing.assert_close(
        ctc_loss(changed, padded, lengths, shorter), ctc_loss(logits, padded, lengths, shorter)
    )


def test_ctc_loss_of_half_precision_is_that_of_float32():
    logits = torch.randn(2, 9, 5).bfloat16().requires_grad_()
    targets, lengths = torch.tensor([[1, 2], [3, 3]]), torch.tensor([2, 2])
    loss = ctc_loss(logits, targets, lengths)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, ctc_loss(logits.float(), targets, lengths))
    loss.backward()
    assert logits.grad.isfinite().all()


def test_ctc_loss_of_an_empty_transcript_asks_for_blanks():
    logits = torch.zeros(1, 3, 4)
    found = ctc_loss(logits, torch.zeros(1, 0, dtype=torch.int64), torch.tensor([0]))
    assert found.item() == pytest.approx(3 * torch.tensor(4.0).log().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("logits", "targets", "lengths", "message"),
    [
        ((4, 5), [[1]], [1], r"logits \[B, T, C\], found shape \[4, 5\]"),
        ((2, 4, 5), [[1]], [1], r"targets \[2, S\] and 2 lengths, found shape \[1, 1\], 1 and 1"),
        ((1, 4, 5), [[1, 5]], [2], "characters 1 to 4, found 1 to 5"),
        ((1, 4, 5), [[0, 2]], [2], "characters 1 to 4, found 0 to 2"),
        ((1, 2, 5), [[1, 2, 3]], [3], r"at least 3 frames for clip 0 .*\(3 characters\), found 2"),
        ((1, 3, 5), [[2, 2, 2]], [3], "at least 5 frames for clip 0"),
    ],
)
def test_a_transcript_that_cannot_be_aligned_is_refused(logits, targets, lengths, message):
    with pytest.raises(BatError, match=message):
        ctc_loss(torch.randn(logits), torch.tensor(targets), torch.tensor(lengths))
