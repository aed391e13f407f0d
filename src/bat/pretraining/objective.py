"""Regression targets and loss of masked latent prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the instance and of the layer normalisation of the targets.
TARGET_NORM_EPS = 1e-6


def regression_targets(outputs_LBND: Tensor) -> Tensor:
    """Make regression targets from the outputs of all teacher blocks.

    Each block's output is instance-normalised over the tokens of a clip (biased variance), the
    blocks are averaged, and the average is layer-normalised over the width without affine.

    Parameters
    ----------
    outputs_LBND : Tensor [L, B, N, D]
        The teacher's block outputs for all patches.

    Returns
    -------
    Tensor [B, N, D], float32
    """
    outputs = outputs_LBND.float()
    # Written out: torch.var over an inner axis runs without vector instructions on a CPU.
    centred = outputs - outputs.mean(dim=2, keepdim=True)
    variance = centred.square().mean(dim=2, keepdim=True)
    normalised = centred * torch.rsqrt(variance + TARGET_NORM_EPS)
    averaged = normalised.mean(dim=0)
    return F.layer_norm(averaged, averaged.shape[-1:], eps=TARGET_NORM_EPS)


def masked_regression_loss(
    *,
    cls_prediction_BVD: Tensor,
    patch_prediction_BVND: Tensor,
    target_BND: Tensor,
    keep_BVn: Tensor,
) -> tuple[Tensor, Tensor]:
    """Regress the student's predictions on the targets, in float32.

    Parameters
    ----------
    cls_prediction_BVD : Tensor [B, V, D]
        The student's CLS token of each masked view.
    patch_prediction_BVND : Tensor [B, V, N, D]
        The decoder's prediction for every patch.
    target_BND : Tensor [B, N, D]
        Regression targets, shared by the views of a clip.
    keep_BVn : Tensor [B, V, n], int64
        Visible patches, which do not count in the local loss.

    Returns
    -------
    tuple of Tensor
        Global loss: mean squared error of CLS against the mean target token. Local loss: mean
        squared error over the masked patches. Both scalars.
    """
    target = target_BND.float()
    global_loss = F.mse_loss(
        cls_prediction_BVD.float(),
        target.mean(dim=1)[:, None].expand(cls_prediction_BVD.shape),
    )
    squares_BVND = (patch_prediction_BVND.float() - target[:, None]).square()
    error_BVN = squares_BVND.mean(dim=-1)
    masked_BVN = torch.ones_like(error_BVN).scatter(2, keep_BVn, 0.0)
    local_loss = (error_BVN * masked_BVN).sum() / masked_BVN.sum()
    return global_loss, local_loss
