"""Losses and metrics of multi-label classification."""

from collections.abc import Iterator

import torch

from bat.conformance.case import GoldenCase
from bat.conformance.checks import GRADIENT, SCALAR, Check, relative
from bat.errors import BatError
from bat.evaluation.metrics import evaluate
from bat.evaluation.predictions import Predictions
from bat.optimisation.losses import asymmetric_loss

# Expected value: metric and scores. Expected values are per cent.
METRICS = {
    "map_macro": ("mAP", "scores"),
    "map_macro_tied": ("mAP", "scores_tied"),
    "f1_macro_at_0.5": ("F1", "scores"),
}


def asymmetric(case: GoldenCase) -> Iterator[Check]:
    """Compare the asymmetric loss and its gradient."""
    if case.setting("clip"):
        raise BatError(f"expected no probability clipping, found clip {case.setting('clip')}")
    logits = case.tensor("logits").detach().clone().requires_grad_()
    loss = asymmetric_loss(
        logits,
        case.tensor("targets"),
        gamma_negative=case.setting("gamma_neg"),
        gamma_positive=case.setting("gamma_pos"),
    )
    expected = case.tensor("loss")
    yield relative("loss", loss.view_as(expected), expected, SCALAR)
    (gradient,) = torch.autograd.grad(loss, logits)
    yield relative("grad", gradient, case.tensor("grad"), GRADIENT)


def multilabel(case: GoldenCase) -> Iterator[Check]:
    """Compare macro mAP, without and with tied scores, and macro F1."""
    present = case.tensor("targets").numpy() == 1
    for expected_name, (metric, scores_name) in METRICS.items():
        predictions = Predictions(
            fold=case.name,
            seed=0,
            clips=[str(clip) for clip in range(len(present))],
            scores=case.tensor(scores_name).double().numpy(),
            present=present,
        )
        expected = case.tensor(expected_name)
        found = torch.full_like(expected, 100 * evaluate(metric, predictions), dtype=torch.float64)
        yield relative(expected_name, found, expected, SCALAR)
