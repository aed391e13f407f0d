"""Smallest and largest similarity of every prototype, without keeping all similarities."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities held at a time: prototypes are taken in chunks of about this many values (16 MiB).
_CHUNK_VALUES = 2**22


class _ExtremeProducts(torch.autograd.Function):
    """Inner products of tokens and prototypes, reduced over the tokens of each sample.

    The derivative of a minimum or maximum is that of the one product that won. The backward pass
    is therefore a weighted sum of winning tokens per prototype and of winning prototypes per
    token, and the [B, N, K] products need not be kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        tokens_BND: Tensor,
        prototypes_KD: Tensor,
        smallest: bool,
    ) -> Tensor:
        samples, count, width = tokens_BND.shape
        flat = tokens_BND.reshape(-1, width)
        values, winners = [], []
        for chunk in torch.split(prototypes_KD, max(1, _CHUNK_VALUES // len(flat))):
            products_BNk = (flat @ chunk.T).view(samples, count, -1)
            extremes: list[tuple[Tensor, Tensor]] = [products_BNk.max(dim=1)]
            if smallest:
                extremes.insert(0, products_BNk.min(dim=1))
            values.append(torch.stack([value for value, _ in extremes]))
            winners.append(torch.stack([winner for _, winner in extremes]))
        first_token = torch.arange(samples, device=flat.device)[:, None] * count
        ctx.save_for_backward(flat, prototypes_KD, torch.cat(winners, dim=2) + first_token)
        return torch.cat(values, dim=2)

    @staticmethod
    def backward(
        ctx: Any,
        *gradients: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, None]:
        flat, prototypes_KD, winners_EBK = ctx.saved_tensors
        # Under autocast the products, and so their gradient, are of lower precision.
        gradient_EBK = gradients[0].to(flat.dtype)
        tokens_gradient = prototypes_gradient = None
        if ctx.needs_input_grad[1]:
            prototypes_gradient = F.embedding_bag(
                winners_EBK.flatten(0, 1).T.contiguous(),
                flat,
                per_sample_weights=gradient_EBK.flatten(0, 1).T.contiguous(),
                mode="sum",
            )
        if ctx.needs_input_grad[0]:
            tokens_gradient = _sum_per_token(
                winners_EBK, gradient_EBK, prototypes_KD, tokens=len(flat)
            ).view(winners_EBK.shape[1], -1, flat.shape[1])
        return tokens_gradient, prototypes_gradient, None


def _sum_per_token(
    winners_EBK: Tensor, weights_EBK: Tensor, prototypes_KD: Tensor, tokens: int
) -> Tensor:
    """Return [tokens, D]: for each token the weighted sum of the prototypes it won."""
    order = winners_EBK.flatten().argsort()
    ends = torch.bincount(winners_EBK.flatten(), minlength=tokens).cumsum(0)
    return F.embedding_bag(
        order % len(prototypes_KD),
        prototypes_KD,
        offsets=F.pad(ends[:-1], (1, 0)),
        per_sample_weights=weights_EBK.flatten()[order],
        mode="sum",
    )


def _extremes(tokens_BND: Tensor, prototypes_KD: Tensor, smallest: bool) -> Tensor:
    extremes: Tensor = _ExtremeProducts.apply(  # type: ignore[no-untyped-call]
        tokens_BND, prototypes_KD, smallest
    )
    return extremes


def smallest_and_largest(tokens_BND: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Return the smallest and largest inner product over tokens, [2, B, K].

    Parameters
    ----------
    tokens_BND : Tensor [B, N, D]
        Tokens of each sample.
    prototypes_KD : Tensor [K, D]
        Prototypes of the same dtype.
    """
    return _extremes(tokens_BND, prototypes_KD, True)


def largest(tokens_BND: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Return the largest inner product over tokens, [B, K]; see ``smallest_and_largest``."""
    return _extremes(tokens_BND, prototypes_KD, False)[0]
