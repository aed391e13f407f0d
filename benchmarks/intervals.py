"""How often intervals of a result miss the truth on one side, by how they join seeds and clips.

    python benchmarks/intervals.py

docs/audit.md gives the figures. 5 % is what is asked for.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from bat.evaluation.equivalence import share_interval

CONFIDENCE, CLIPS, FOLDS = 0.9, 2000, 5
NORMAL = 1.6448536269514722
TOTAL = 0.002  # standard error of the mean, of seeds and clips together
SHARES = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1)  # of the variance that seeds make


def mover(runs, deviation):
    """Means of seeds, Student's limits, joined with exact limits of the clips: what is used."""
    limits = share_interval(
        runs.mean(1), deviation, clips=CLIPS, folds=FOLDS, confidence=CONFIDENCE
    )
    return limits.low, limits.high


def satterthwaite(runs, deviation):
    """One variance of both, with Satterthwaite's degrees of freedom."""
    of_seeds = runs.mean(1).var(-1, ddof=1) / runs.shape[-1]
    total = of_seeds + deviation**2
    return _symmetric(runs, stdtrit(total**2 * (runs.shape[-1] - 1) / of_seeds**2, 0.95), total)


def normal(runs, deviation):
    """One variance of both, with the normal quantile."""
    of_seeds = runs.mean(1).var(-1, ddof=1) / runs.shape[-1]
    return _symmetric(runs, NORMAL, of_seeds + deviation**2)


def within_folds(runs, deviation):
    """Variances of seeds within folds, as if independent, joined with those of the clips."""
    folds, seeds = runs.shape[1:]
    of_folds = runs.var(-1, ddof=1)
    freedom = of_folds.sum(-1) ** 2 / ((of_folds**2).sum(-1) / (seeds - 1))
    of_seeds = of_folds.sum(-1) / folds**2 / seeds
    total = stdtrit(freedom, 0.95) ** 2 * of_seeds + NORMAL**2 * deviation**2
    return _symmetric(runs, 1.0, total)


def _symmetric(runs, quantile, variance):
    value, half = runs.mean((1, 2)), quantile * np.sqrt(variance)
    return value - half, value + half


def missed(method, seeds, share, *, shared, trials, generator):
    """Share of trials whose limits miss the truth, the worse side of the two."""
    spread = TOTAL * np.sqrt(share * seeds)
    if shared:
        runs = generator.normal(0.8, spread, (trials, 1, seeds)).repeat(FOLDS, axis=1)
    else:
        runs = generator.normal(0.8, spread * np.sqrt(FOLDS), (trials, FOLDS, seeds))
    of_clips = max(TOTAL * np.sqrt(1 - share), 1e-5)
    runs += generator.normal(0.0, of_clips, (trials, 1, 1))
    deviation = of_clips * np.sqrt(generator.chisquare(CLIPS - 1, trials) / CLIPS)
    low, high = method(runs, deviation)
    return max(np.mean(low > 0.8), np.mean(high < 0.8))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20_000)
    trials = parser.parse_args().trials
    table = Table("interval", title=f"worst one-sided miss in %, {trials:,} trials each")
    columns = [(seeds, shared) for shared in (False, True) for seeds in (3, 5, 10)]
    for seeds, shared in columns:
        table.add_column(f"{seeds} seeds{', shared' if shared else ''}", justify="right")
    for method in (mover, satterthwaite, normal, within_folds):
        generator = np.random.default_rng(0)
        worst = [
            max(
                missed(method, seeds, share, shared=shared, trials=trials, generator=generator)
                for share in SHARES
            )
            for seeds, shared in columns
        ]
        table.add_row(method.__name__, *(f"{100 * rate:.1f}" for rate in worst))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
