"""Classification losses by name, and the loss of transcripts."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bat.errors import BatError

Loss = Callable[[Tensor, Tensor], Tensor]


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_negative: float = 1.0,
    gamma_positive: float = 0.0,
    eps: float = 1e-8,
) -> Tensor:
    """Asymmetric loss for multi-label classification, without probability clipping.

    Binary cross-entropy whose easy negatives count less: each element is weighted by
    ``(1 - p_t) ** gamma``, p_t the probability given to the truth; no gradient flows through
    that weight.

    Parameters
    ----------
    logits, targets : Tensor [..., C]
        Scores and labels in [0, 1] (soft labels after mixup).
    gamma_negative, gamma_positive : float
        Focusing exponents of absent and present classes.
    eps : float
        Floor of the probabilities inside the logarithms.

    Returns
    -------
    Tensor
        Mean over all elements, a scalar.
    """
    present = torch.sigmoid(logits)
    absent = 1 - present
    log_likelihood = targets * present.clamp(min=eps).log()
    log_likelihood = log_likelihood + (1 - targets) * absent.clamp(min=eps).log()
    with torch.no_grad():
        truth = present * targets + absent * (1 - targets)
        gamma = gamma_positive * targets + gamma_negative * (1 - targets)
        focus = (1 - truth) ** gamma
    return -(log_likelihood * focus).mean()


def ctc_loss(
    logits: Tensor,
    targets: Tensor | Sequence[Tensor],
    target_lengths: Tensor,
    logit_lengths: Tensor | None = None,
) -> Tensor:
    """Connectionist temporal classification: the truth in any alignment to the frames.

    Computed in float32, whatever the precision of the logits. Class 0 is the blank.

    Parameters
    ----------
    logits : Tensor [B, T, C]
    targets : Tensor [B, S], or sequence of Tensor [S]
        Characters 1..C-1 of each clip; what lies beyond its length is padding.
    target_lengths : Tensor [B]
        Characters per clip.
    logit_lengths : Tensor [B], optional
        Frames per clip that are not padding; by default all T.

    Returns
    -------
    Tensor
        Mean over clips of the negative log-likelihood per character, a scalar.

    Raises
    ------
    BatError
        If the shapes do not fit, a character is out of range, or a clip has fewer frames than
        its truth needs: one per character, and a blank between two equal ones.
    """
    if not isinstance(targets, Tensor):
        targets = pad_sequence(list(targets), batch_first=True)
    if logits.ndim != 3:
        raise BatError(f"CTC loss: expected logits [B, T, C], found shape {list(logits.shape)}")
    clips, frames, classes = logits.shape
    if logit_lengths is None:
        logit_lengths = torch.full_like(target_lengths, frames)
    if targets.ndim != 2 or not clips == len(targets) == len(target_lengths) == len(logit_lengths):
        raise BatError(
            f"CTC loss: expected targets [{clips}, S] and {clips} lengths, found shape "
            f"{list(targets.shape)}, {len(target_lengths)} and {len(logit_lengths)} lengths"
        )
    _check_alignable(targets, target_lengths, logit_lengths, classes)
    log_probabilities = logits.float().log_softmax(dim=2).transpose(0, 1)
    return F.ctc_loss(
        log_probabilities, targets.to(logits.device), logit_lengths, target_lengths, blank=0
    )


def _check_alignable(
    targets: Tensor, target_lengths: Tensor, logit_lengths: Tensor, classes: int
) -> None:
    """Refuse what would give an infinite loss, or read beyond the logits."""
    spoken = torch.arange(targets.shape[1], device=targets.device) < target_lengths[:, None]
    if (spoken & ((targets < 1) | (targets >= classes))).any():
        found = targets[spoken]
        raise BatError(
            f"CTC loss: expected characters 1 to {classes - 1}, "
            f"found {int(found.min())} to {int(found.max())}"
        )
    repeated = (targets[:, 1:] == targets[:, :-1]) & spoken[:, 1:]
    needed = target_lengths + repeated.sum(dim=1)
    short = (needed > logit_lengths).nonzero()
    if len(short):
        clip = int(short[0])
        raise BatError(
            f"CTC loss: expected at least {int(needed[clip])} frames for clip {clip} of the batch "
            f"({int(target_lengths[clip])} characters), found {int(logit_lengths[clip])}"
        )


LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "asymmetric": asymmetric_loss,
}


def loss_function(name: str) -> Loss:
    """Return a loss ``(logits, labels) -> scalar`` by name.

    Raises
    ------
    BatError
        If there is no loss of that name.
    """
    if name not in LOSSES:
        raise BatError(f"loss: expected one of {', '.join(sorted(LOSSES))}, found {name}")
    return LOSSES[name]
