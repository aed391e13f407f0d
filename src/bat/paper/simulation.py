"""How often verdicts are wrong, by simulation: made results whose truth is known.

A scenario says how seeds and clips scatter. Many results are drawn with a known difference to a
claim, and judged by the very functions that judge real ones. A *false pass* calls a result
identical or equivalent although the truth is at the margin or beyond; a *false fail* calls one
different although the truth is within it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bat.errors import BatError
from bat.evaluation.display import wide_console
from bat.evaluation.equivalence import DIFFERENT, UNDECIDED, Interval, share_interval
from bat.paper.claims import Claim
from bat.paper.verdicts import Tolerance, conclusion, margin_of

Floats = NDArray[np.float64]
MakeInterval = Callable[..., Interval]
NOMINAL = 0.05
# Draws of a real bootstrap, whose own chance is simulated too.
_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How results scatter around the truth; deviations in points.

    Attributes
    ----------
    printed, spread
        The claim's value, and the standard deviation printed beside it.
    seed_deviation
        Of one seed's heads in one fold.
    clip_deviation
        Of one clip's share in the result; None for clips that are right or wrong.
    interaction
        What one seed makes of one clip, beyond both.
    clips, folds
        Test clips of a fold, and number of folds.
    shared
        Whether heads of one seed scatter together in all folds.
    """

    name: str
    printed: float
    spread: float | None = None
    seed_deviation: float
    clip_deviation: float | None
    interaction: float = 0.0
    clips: int
    folds: int = 1
    shared: bool = False

    @property
    def claim(self) -> Claim:
        """The claim that results of this scenario are compared with."""
        return Claim(
            id="v2.simulated", version="v2", place="simulation", model="BAT", method="CGP",
            task="ESC-50", metric="accuracy", value=self.printed, spread=self.spread, decimals=2,
            source="made", note="",
        )  # fmt: skip


# After the paper's tasks: AudioSet, ESC-50, Speech Commands, sound event detection.
SCENARIOS = (
    Scenario(name="seeds alone", printed=37.70,
             seed_deviation=0.2, clip_deviation=1.0, clips=18_886),
    Scenario(name="clips alone", printed=37.70,
             seed_deviation=0.001, clip_deviation=30.0, clips=18_886),
    Scenario(name="seeds and clips", printed=37.70,
             seed_deviation=0.2, clip_deviation=20.0, clips=18_886),
    Scenario(name="seeds, clips and both together", printed=37.70,
             seed_deviation=0.2, clip_deviation=20.0, interaction=20.0, clips=18_886),
    Scenario(name="noisy seeds", printed=37.70,
             seed_deviation=1.0, clip_deviation=20.0, clips=18_886),
    Scenario(name="five folds", printed=87.25,
             seed_deviation=0.5, clip_deviation=5.0, clips=400, folds=5),
    Scenario(name="five folds, seeds shared", printed=87.25,
             seed_deviation=0.2, clip_deviation=5.0, clips=400, folds=5, shared=True),
    Scenario(name="24 clips", printed=94.27,
             seed_deviation=0.1, clip_deviation=1.0, clips=24),
    Scenario(name="right or wrong, near 100 %", printed=99.09,
             seed_deviation=0.05, clip_deviation=None, clips=4_890),
    Scenario(name="five folds, printed spread", printed=95.95, spread=1.2,
             seed_deviation=0.4, clip_deviation=None, clips=400, folds=5, shared=True),
    Scenario(name="few clips, nearly all right", printed=98.81, spread=0.9,
             seed_deviation=0.02, clip_deviation=None, clips=400),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of trials of one scenario and number of seeds.

    Attributes
    ----------
    pass_at_margin, fail_at_margin
        With the truth exactly at the margin, on the worse side: both are false.
    pass_at_twice
        With the truth at twice the margin: false.
    fail_at_zero
        With the truth at the printed value: false.
    pass_at_zero, undecided_at_zero
        How often there is a right verdict, and how often none.
    """

    scenario: str
    seeds: int
    trials: int
    pass_at_margin: float
    pass_at_twice: float
    fail_at_margin: float
    fail_at_zero: float
    pass_at_zero: float
    undecided_at_zero: float

    @property
    def false_pass(self) -> float:
        """The worst of the false passes."""
        return max(self.pass_at_margin, self.pass_at_twice)

    @property
    def false_fail(self) -> float:
        """The worst of the false fails."""
        return max(self.fail_at_margin, self.fail_at_zero)


def monte_carlo_error(rate: float, trials: int) -> float:
    """Return the standard error of a rate that was counted in so many trials."""
    return math.sqrt(rate * (1 - rate) / trials)


def simulate(
    settings: Tolerance,
    *,
    seeds: Iterable[int],
    trials: int,
    scenarios: Sequence[Scenario] = SCENARIOS,
    interval: MakeInterval = share_interval,
    seed: int = 0,
) -> list[Rates]:
    """Judge made results and count what is wrong.

    Parameters
    ----------
    settings
        Margins and confidence.
    seeds
        Numbers of seeds that a result has.
    trials
        Results drawn for each scenario, number of seeds and truth.
    interval
        How intervals are made; another one than that of the verdicts shows what it would do.
    seed
        Of this simulation.
    """
    generator = np.random.default_rng(seed)
    return [
        _rates(scenario, count, trials, settings, interval, generator)
        for scenario in scenarios
        for count in seeds
    ]


def _rates(
    scenario: Scenario,
    seeds: int,
    trials: int,
    settings: Tolerance,
    interval: MakeInterval,
    generator: np.random.Generator,
) -> Rates:
    claim = scenario.claim
    margin = margin_of(claim, settings)

    def outcomes(margins: float) -> tuple[float, float, float]:
        """Shares of passes, fails and undecided with a truth so many margins off."""
        truth = claim.value + margins * margin
        if truth > 100:
            return 0.0, 0.0, 0.0
        by_seed, deviation = _draw(scenario, truth / 100, seeds, trials, generator)
        limits = interval(
            by_seed, deviation,
            clips=scenario.clips * scenario.folds, folds=scenario.folds,
            confidence=settings.confidence,
        )  # fmt: skip
        found = conclusion(limits, claim, settings)
        fails, undecided = np.mean(found == DIFFERENT), np.mean(found == UNDECIDED)
        return 1 - float(fails + undecided), float(fails), float(undecided)

    below, above, at_zero = outcomes(-1.0), outcomes(1.0), outcomes(0.0)
    return Rates(
        scenario=scenario.name,
        seeds=seeds,
        trials=trials,
        pass_at_margin=max(below[0], above[0]),
        fail_at_margin=max(below[1], above[1]),
        pass_at_twice=max(outcomes(-2.0)[0], outcomes(2.0)[0]),
        fail_at_zero=at_zero[1],
        pass_at_zero=at_zero[0],
        undecided_at_zero=at_zero[2],
    )


def _draw(
    scenario: Scenario, truth: float, seeds: int, trials: int, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw results: each seed's mean over folds [trials, S], deviation over clips [trials]."""
    of_folds = 1 if scenario.shared else scenario.folds
    shape = (trials, of_folds, seeds)
    by_seed = generator.normal(0.0, scenario.seed_deviation / 100, shape)
    by_fold, variance = _clips(scenario, truth, seeds, trials, generator)
    bootstrap = generator.chisquare(_RESAMPLES - 1, trials) / (_RESAMPLES - 1)
    deviation = np.sqrt(variance.sum(axis=1) * bootstrap) / scenario.folds
    return by_seed.mean(axis=1) + by_fold.mean(axis=1), deviation


def _clips(
    scenario: Scenario, truth: float, seeds: int, trials: int, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw each fold's result [trials, F, S], and the variance of its mean over seeds [trials, F].

    The variance is estimated from the same clips, as a bootstrap does, not known.
    """
    clips, shape = scenario.clips, (trials, scenario.folds)
    if scenario.clip_deviation is None:
        found = generator.binomial(clips, truth, shape) / clips
        return np.repeat(found[..., None], seeds, axis=-1), found * (1 - found) / clips
    each, both = scenario.clip_deviation / 100, scenario.interaction / 100
    shared = generator.normal(truth, each / math.sqrt(clips), (*shape, 1))
    alone = generator.normal(0.0, both / math.sqrt(clips), (*shape, seeds))
    of_mean = each**2 + both**2 / seeds
    return shared + alone, of_mean * generator.chisquare(clips - 1, shape) / clips**2


def worst(rates: Sequence[Rates]) -> Rates:
    """Return the case with the most false passes."""
    return max(rates, key=lambda of_case: of_case.false_pass)


def limit(trials: int) -> float:
    """Return the largest rate that a true 5 % is likely to be counted as."""
    return NOMINAL + 3 * monte_carlo_error(NOMINAL, trials)


def print_rates(rates: Sequence[Rates], console: Console | None = None) -> None:
    """Print what was counted, in per cent, and the worst of it.

    Raises
    ------
    BatError
        If verdicts pass falsely more often than 5 %, beyond the chance of counting.
    """
    console = console or wide_console()
    trials = rates[0].trials
    table = Table(
        "scenario", title=f"{trials:,} trials each; truth at the margin (M), twice it, or at zero"
    )
    columns = ("seeds", "false pass M", "2 M", "false fail M", "0", "right at 0", "undecided at 0")
    for name in columns:
        table.add_column(name, justify="right")
    for of_case in rates:
        values = (
            of_case.pass_at_margin, of_case.pass_at_twice, of_case.fail_at_margin,
            of_case.fail_at_zero, of_case.pass_at_zero, of_case.undecided_at_zero,
        )  # fmt: skip
        table.add_row(
            of_case.scenario, str(of_case.seeds), *(f"{100 * value:.2f}" for value in values)
        )
    console.print(table)
    nominal = 100 * monte_carlo_error(NOMINAL, trials)
    console.print(f"5 % would be counted with a standard error of {nominal:.2f}")
    for kind in ("false_pass", "false_fail"):
        of_case = max(rates, key=lambda one, kind=kind: getattr(one, kind))  # type: ignore[misc]
        rate = getattr(of_case, kind)
        error = 100 * monte_carlo_error(rate, trials)
        console.print(
            f"worst {kind.replace('_', ' ')}: {100 * rate:.2f} % ± {error:.2f} "
            f"({of_case.scenario}, {of_case.seeds} seeds)"
        )
    if worst(rates).false_pass > limit(trials):
        raise BatError(f"false passes are more than 5 %: {100 * worst(rates).false_pass:.2f} %")
