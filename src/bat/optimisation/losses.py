"""Classification losses by name."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

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
