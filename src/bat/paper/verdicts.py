"""Whether a result of this project holds what the paper prints.

A result is *equivalent* to a claim if its interval lies within a margin that was declared
beforehand, *different* if it lies wholly outside, and *undecided* otherwise: few seeds or much
noise can make a verdict undecided, never equivalent. docs/audit.md gives the reasons, and
``bat audit simulate`` how often these rules are wrong.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bat.evaluation.cells import Cell
from bat.evaluation.equivalence import (
    DIFFERENT,
    EQUIVALENT,
    UNDECIDED,
    Interval,
    agreement,
    share_interval,
)
from bat.paper.claims import COST, QUOTED, Claim

Outcome = Literal["identical", "equivalent", "different", "undecided", "not attempted"]
OUTCOMES: tuple[Outcome, ...] = (
    "identical", "equivalent", "different", "undecided", "not attempted",
)  # fmt: skip
NOT_ATTEMPTED: Outcome = "not attempted"
# Test clips that the paper has, where it says so.
_PAPERS_CLIPS = {"AS-2M": 18_886, "AS-20k": 18_886, "ESC-50": 2_000, "HSN": 12_000}


class Tolerance(Protocol):
    """The margins declared beforehand (the section ``equivalence`` of the parameters)."""

    @property
    def margin(self) -> float:
        """In points."""

    @property
    def margins(self) -> Mapping[str, float]:
        """Of single metrics, in points."""

    @property
    def confidence(self) -> float:
        """Of the two-sided interval that must lie within the margin."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a judgement has to know of the experiment whose cells it judges.

    Attributes
    ----------
    published
        Models whose encoders are converted from published weights.
    costs
        Exact costs by (method of the claim, metric), in the unit of the claim.
    scale
        How large a cell's model and test set are, in words.
    command
        What would build a claim's cell; None where no recipe is known.
    missing
        Why a claim has no cell.
    """

    published: Collection[str] = ()
    costs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    scale: Callable[[Cell], str] = lambda cell: f"{cell.n_clips:,} clips"
    command: Callable[[Claim], str | None] = lambda _: None
    missing: Callable[[Claim], str] = lambda _: "the table has no such cell"


class Verdict(BaseModel):
    """What became of one claim.

    Attributes
    ----------
    cell
        Name of the cell that was compared; None for a cost, or where there is none.
    value, low, high
        Of this project: in per cent, for a cost in the claim's unit. The limits are None where
        nothing is known of the spread, or where the number is exact.
    margin
        Largest distance to the printed value that still counts as the same, in points.
    given
        What the interval takes for granted.
    scale
        How large the model and the test set are.
    command
        What builds the cell; None where no recipe is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    claim: Claim
    verdict: Outcome
    reason: str
    cell: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    n_seeds: int = 0
    n_folds: int = 0
    n_clips: int = 0
    given: str = ""
    scale: str = ""
    command: str | None = None


def judge(
    claims: Iterable[Claim],
    cells: Iterable[Cell],
    settings: Tolerance,
    experiment: Experiment | None = None,
) -> list[Verdict]:
    """Compare every claim with the cell that may stand for it.

    Parameters
    ----------
    claims
        For example those of :func:`bat.paper.claims.read_claims`.
    cells
        Of a main table.
    settings
        Margins and confidence.
    experiment
        What else is known of the experiment.

    Returns
    -------
    list of Verdict
        One for each claim, in their order.
    """
    experiment = experiment or Experiment()
    by_name = {cell.name: cell for cell in cells}
    return [_judged(claim, by_name, settings, experiment) for claim in claims]


def _judged(
    claim: Claim, cells: Mapping[str, Cell], settings: Tolerance, experiment: Experiment
) -> Verdict:
    if claim.task == COST:
        return _cost(claim, experiment)
    if claim.method == QUOTED:
        reason = "the paper quotes this number from another paper"
        return Verdict(claim=claim, verdict=NOT_ATTEMPTED, reason=reason)
    command = experiment.command(claim)
    cell = next((cells[name] for name in claim.cells if name in cells), None)
    if cell is None:
        reason = experiment.missing(claim)
        return Verdict(claim=claim, verdict=NOT_ATTEMPTED, reason=reason, command=command)
    return _compared(claim, cell, settings, experiment).model_copy(update={"command": command})


def _cost(claim: Claim, experiment: Experiment) -> Verdict:
    """Compare a cost, which is counted, not measured, at the printed digits."""
    command = experiment.command(claim)
    value = experiment.costs.get((claim.method, claim.metric))
    if value is None:
        reason = "measured on the paper's own machine" if claim.metric == "latency_ms" else ""
        return Verdict(
            claim=claim, verdict=NOT_ATTEMPTED, reason=reason or experiment.missing(claim)
        )
    same = f"{value:.{claim.decimals}f}" == claim.printed
    return Verdict(
        claim=claim,
        verdict="identical" if same else "different",
        reason=f"counted exactly, {'rounds' if same else 'does not round'} to the printed digits",
        value=value,
        margin=claim.half_unit,
        scale="ViT-B, 527 classes",
        command=command,
    )


def margin_of(claim: Claim, settings: Tolerance) -> float:
    """Return the margin of a claim in points: the metric's, its rounding and its spread."""
    declared = dict(settings.margins).get(claim.metric, settings.margin)
    return declared + claim.half_unit + (claim.spread or 0.0)


def conclusion(interval: Interval, claim: Claim, settings: Tolerance) -> NDArray[np.str_]:
    """Decide on a claim from the interval of a share; many intervals give many outcomes.

    This is the whole rule of a verdict, and what ``bat audit simulate`` tries.
    """
    agrees = agreement(interval, claim.value / 100, margin_of(claim, settings) / 100)
    # Identity is a matter of digits on top of equivalence: one noisy run that happens to round
    # to the printed number is no evidence.
    rounds = np.abs(100 * interval.value - claim.value) <= claim.half_unit
    return np.where((agrees == EQUIVALENT) & rounds, "identical", agrees)


def _compared(claim: Claim, cell: Cell, settings: Tolerance, experiment: Experiment) -> Verdict:
    margin, by_seed = margin_of(claim, settings), seed_means(cell)
    undecided = Verdict(
        claim=claim,
        verdict="undecided",
        reason="not every fold has the same seeds",
        cell=cell.name,
        value=100 * cell.value,
        margin=margin,
        n_seeds=len({run.seed for run in cell.runs}),
        n_folds=len({run.fold for run in cell.runs}),
        n_clips=cell.n_clips,
        given=_given(claim, cell, experiment),
        scale=experiment.scale(cell),
    )
    if by_seed is None:
        return undecided
    interval = share_interval(
        by_seed,
        np.asarray(cell.clip_deviation),
        clips=cell.n_clips,
        folds=cell.n_folds,
        confidence=settings.confidence,
    )
    low, value, high = (
        100 * float(limit) for limit in (interval.low, interval.value, interval.high)
    )
    if not np.isfinite(high - low):
        what = "one seed says" if len(by_seed) == 1 else "the clips say"
        reason = f"{what} nothing about the spread"
        return undecided.model_copy(update={"value": value, "reason": reason})
    outcome = str(conclusion(interval, claim, settings))
    reason = _reason(outcome, low, high, claim, margin)
    found = {"verdict": outcome, "reason": reason, "value": value, "low": low, "high": high}
    return undecided.model_copy(update=found)


def seed_means(cell: Cell) -> NDArray[np.float64] | None:
    """Return each seed's mean over the folds, by seed; None where folds have different seeds."""
    by_fold: dict[str, dict[int, float]] = {}
    for run in cell.runs:
        by_fold.setdefault(run.fold, {})[run.seed] = run.value
    seeds = {frozenset(of_fold) for of_fold in by_fold.values()}
    if len(seeds) != 1 or len(cell.runs) != len(by_fold) * len(next(iter(seeds))):
        return None
    return np.asarray(
        [np.mean([of_fold[seed] for of_fold in by_fold.values()]) for seed in sorted(*seeds)]
    )


def _given(claim: Claim, cell: Cell, experiment: Experiment) -> str:
    published = cell.model in experiment.published
    given = ["the published weights" if published else "one pretraining"]
    if claim.model == "BAT" and cell.model != "BAT":
        given = [f"the published weights ({cell.model}), not a pretraining of one's own"]
    expected = _PAPERS_CLIPS.get(claim.task, cell.n_clips)
    if cell.n_clips != expected:
        given.append(f"{cell.n_clips:,} test clips, where the paper has {expected:,}")
    if cell.comparison_set is not None:
        given.append(f"the comparison set {cell.comparison_set}")
    if claim.spread is None:
        given.append("the printed value without a spread of its own")
    return "; ".join(given)


def _reason(outcome: str, low: float, high: float, claim: Claim, margin: float) -> str:
    allowed = f"{claim.printed} ± {margin:.3g}"
    if outcome == DIFFERENT:
        side = "below" if high < claim.value else "above"
        return f"the interval lies wholly {side} {allowed}"
    if outcome == UNDECIDED:
        wider = high - low > 2 * margin
        return f"the interval {'is wider than' if wider else 'crosses an end of'} {allowed}"
    within = f"the interval lies within {allowed}"
    return within if outcome == EQUIVALENT else f"rounds to the printed digits, and {within}"


def coverage(verdicts: Sequence[Verdict]) -> list[str]:
    """Say how many claims were attempted and what became of them, in all and by place."""
    places = list(dict.fromkeys((v.claim.version, v.claim.place) for v in verdicts))
    lines = [_attempted("all", verdicts)]
    for version, place in places:
        of_place = [v for v in verdicts if (v.claim.version, v.claim.place) == (version, place)]
        lines.append(_attempted(f"{version} {place}", of_place))
    return lines


def _attempted(name: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.verdict for verdict in verdicts)
    attempted = len(verdicts) - counts[NOT_ATTEMPTED]
    split = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    return f"{name}: {attempted} of {len(verdicts)} claims attempted ({split})"
