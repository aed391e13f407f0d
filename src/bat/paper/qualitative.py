"""What the paper says in words, tested on whatever was run.

A statement is a difference that should be above zero: of two methods, of two models that differ in
one parameter, of the blocks where results peak, of numbers of prototypes. Its interval is joined
from seeds and clips as that of a verdict. Every finding names its scale: what holds of a small
encoder need not hold of the paper's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from bat.evaluation.equivalence import contrast_interval
from bat.paper.claims import METHODS, Claim
from bat.paper.contrasts import Contrast, Evidence, contrasts
from bat.paper.statements import (
    MethodStatement,
    ModelStatement,
    PeakStatement,
    PrototypeStatement,
    Statement,
)

Holding = Literal["holds", "does not hold", "undecided", "not attempted"]


class Finding(BaseModel):
    """One difference that a statement is about.

    Attributes
    ----------
    what
        The difference in words.
    difference, low, high
        In points or blocks; None where it was not run, the limits also where nothing is known of
        its spread.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    statement: str
    what: str
    holding: Holding
    reason: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_seeds: int = 0
    n_folds: int = 0
    given: str = ""
    scale: str = ""


class Judged(BaseModel):
    """What became of a statement: it holds if all its findings do, and not if one does not.

    ``printed`` says the same of the paper's own values; empty where it prints none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    statement: Statement
    holding: Holding
    reason: str
    printed: str
    findings: list[Finding]


def judge_statements(
    statements: Sequence[Statement],
    evidence: Evidence,
    claims: Sequence[Claim],
    confidence: float,
) -> list[Judged]:
    """Test statements on what was run, and on the paper's own numbers.

    Parameters
    ----------
    statements
        For example those of :func:`read_statements`.
    evidence
        What was run.
    claims
        The paper's values.
    confidence
        Of the two-sided interval of a difference.
    """
    return [
        _judged(one, _findings(one, evidence, confidence), _printed(one, claims))
        for one in statements
    ]


def _judged(statement: Statement, findings: list[Finding], printed: str) -> Judged:
    counts = Counter(finding.holding for finding in findings)
    tried = len(findings) - counts["not attempted"]
    holding: Holding
    if not tried:
        holding, reason = "not attempted", _nothing(statement)
        if findings:
            reason = findings[0].reason
    elif counts["does not hold"]:
        below = counts["does not hold"]
        holding, reason = "does not hold", f"{below} of {tried} differences are below zero"
    elif counts["undecided"]:
        holding, reason = (
            "undecided",
            f"{counts['holds']} of {tried} differences are above zero, none below",
        )
    else:
        holding, reason = "holds", f"{tried} of {tried} differences are above zero"
    if 0 < tried < len(findings):
        reason += f"; {len(findings) - tried} were not run"
    return Judged(
        statement=statement, holding=holding, reason=reason, printed=printed, findings=findings
    )


def _nothing(statement: Statement) -> str:
    if isinstance(statement, ModelStatement | PeakStatement):
        fixed = "".join(f", with {key} {value}" for key, value in statement.fixed.items())
        values = f"{statement.better} and {statement.worse}"
        return f"no two models here differ in {statement.parameter} alone ({values}){fixed}"
    if isinstance(statement, PrototypeStatement):
        return "this experiment has no figure of numbers of prototypes"
    return f"no pretrained model here was measured by {statement.better} and another of its methods"


def _findings(statement: Statement, evidence: Evidence, confidence: float) -> list[Finding]:
    return [
        _finding(statement.id, contrast, evidence, confidence)
        for contrast in contrasts(statement, evidence)
    ]


def _finding(statement: str, contrast: Contrast, evidence: Evidence, confidence: float) -> Finding:
    empty = Finding(
        statement=statement,
        what=contrast.what,
        holding="not attempted",
        reason="not all of it was run",
        scale=evidence.scale(contrast.model, contrast.task),
    )
    first, *others = [set(values) for _, values in contrast.terms]
    folds, seeds = sorted({fold for fold, _ in first}), sorted({seed for _, seed in first})
    if not first or not all(others):
        return empty
    if any(other != first for other in others) or len(first) != len(folds) * len(seeds):
        reason = "the runs have different folds or seeds"
        return empty.model_copy(update={"holding": "undecided", "reason": reason})
    by_seed = np.asarray(
        [np.mean([contrast.of(fold, seed) for fold in folds]) for seed in seeds], dtype=np.float64
    )
    interval = contrast_interval(by_seed, contrast.clip_deviation or 0.0, confidence)
    low, high = float(interval.low), float(interval.high)
    holding, reason = _holding(low, high)
    given = ["one pretraining", *(["these test clips"] if contrast.clip_deviation is None else [])]
    found = {
        "holding": holding,
        "reason": reason,
        "difference": float(interval.value),
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
        "n_seeds": len(seeds),
        "n_folds": len(folds),
        "given": "; ".join(given),
    }
    return empty.model_copy(update=found)


def _holding(low: float, high: float) -> tuple[Holding, str]:
    if not math.isfinite(low):
        return "undecided", "one seed says nothing about its spread"
    if low > 0:
        return "holds", "the interval lies above zero"
    if high < 0:
        return "does not hold", "the interval lies below zero"
    return "undecided", "the interval holds zero"


def _printed(statement: Statement, claims: Sequence[Claim]) -> str:
    """Say of how many of the paper's own numbers (v2) the statement is true."""
    values = {
        (claim.cells[0].split(",")[0], str(METHODS[claim.method]), claim.task, claim.metric): claim
        for claim in claims
        if (claim.version, claim.place) == ("v2", statement.place) and claim.cells
    }
    pairs: list[tuple[Claim, Claim]] = []
    for (model, method, task, metric), claim in values.items():
        if isinstance(statement, MethodStatement) and method == statement.better:
            others = [(model, other, task, metric) for other in statement.than]
        elif isinstance(statement, ModelStatement):
            others = [(w, method, task, metric) for b, w in statement.printed if b == model]
        else:
            others = []
        pairs += [(claim, values[other]) for other in others if other in values]
    if not pairs:
        return ""
    false = [f"{a.id} {a.printed} < {b.printed}" for a, b in pairs if a.value < b.value]
    text = f"{len(pairs) - len(false)} of {len(pairs)} printed pairs agree"
    return f"{text}; not {'; '.join(false[:3])}" if false else text
