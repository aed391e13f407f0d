"""The law of inverse block masks: two samples of masks, compared by their means."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from bat.conformance.case import member, refuse_unknown
from bat.conformance.checks import Check
from bat.errors import BatError
from bat.pretraining.masking import inverse_block_mask

# Largest deviation in standard errors of the difference of the two samples' means.
TOLERANCE = 3.0
# Masks drawn here: ten times the reference's, so that its sample makes nearly all of the error.
SAMPLES, CHUNK, SEED = 40_000, 4_000, 0
# The reference's means are kept in single precision.
ROUNDING = 1e-6
KNOWN = {
    "grid",
    "kept_per_sample",
    "mean_kept_neighbours_of_a_kept_patch",
    "keep_probability_by_frequency_row",
    "keep_probability_by_time_column",
    "samples",
    "mask_ratio",
    "neighbourhood",
}


@dataclass
class Moments:
    """Sums and sums of squares of a statistic over samples."""

    sums: Tensor
    squares: Tensor
    samples: int = 0

    def add(self, values_SX: Tensor) -> None:
        """Take in the statistics of further samples."""
        values = values_SX.double()
        self.sums = self.sums + values.sum(0)
        self.squares = self.squares + values.square().sum(0)
        self.samples += len(values)

    @property
    def mean(self) -> Tensor:
        """Mean over all samples."""
        return self.sums / self.samples

    @property
    def deviation(self) -> Tensor:
        """Standard deviation over all samples."""
        variance = (self.squares - self.samples * self.mean.square()) / (self.samples - 1)
        return variance.clamp(min=0.0).sqrt()


def mask_statistics(content: Mapping[str, Any]) -> Iterator[Check]:
    """Compare the number of kept patches, their neighbourhood and where they lie.

    The mean number of kept neighbours may be three standard errors of the difference off. Of the
    probabilities by row and column, 72 on the paper's grid, one or another lies beyond three by
    chance in every sixth pair of samples. They are judged together, by their largest deviation
    (Sidak's correction): what is reported is the deviation that a single statistic would exceed
    as seldom as the largest of them all exceeds theirs, and that may be three.
    """
    refuse_unknown(content, KNOWN)
    if (found := member(content, "neighbourhood")) != "4-connected":
        raise BatError(f"neighbourhood: expected 4-connected, found {found}")
    kept, neighbours, rows, columns = _draw(content)
    stated = member(content, "kept_per_sample")
    yield Check(what="kept_per_sample", error=float((kept - stated).abs().max()), tolerance=0.0)
    samples = member(content, "samples")
    expected = torch.tensor([member(content, "mean_kept_neighbours_of_a_kept_patch")])
    apart = _standard_errors(neighbours, expected, samples)
    yield Check(what="kept neighbours, in standard errors", error=float(apart), tolerance=TOLERANCE)
    places = torch.cat(
        [
            _standard_errors(rows, _expected(content, "frequency_row", rows), samples),
            _standard_errors(columns, _expected(content, "time_column", columns), samples),
        ]
    )
    error = largest_as_of_one(float(places.max()), len(places))
    what = f"{len(places)} keep probabilities, in standard errors"
    yield Check(what=what, error=error, tolerance=TOLERANCE)


def largest_as_of_one(largest: float, count: int) -> float:
    """Return the deviation of one normal variable that is as unlikely as the largest of many.

    Parameters
    ----------
    largest : float
        Largest magnitude among ``count`` standard normal variables.
    """
    # Not by the cumulative distribution, whose tail has lost its digits at seven deviations.
    of_one = math.erfc(largest / math.sqrt(2))
    of_all = -math.expm1(count * math.log1p(-of_one)) if of_one < 1 else 1.0
    # Beyond some 38 standard errors the probability is too small for a float.
    return -NormalDist().inv_cdf(of_all / 2) if of_all > 0 else largest


def _draw(content: Mapping[str, Any]) -> tuple[Tensor, Moments, Moments, Moments]:
    """Draw masks; return kept patches of each, then neighbours, rows and columns."""
    time, frequency = member(content, "grid")
    generator = torch.Generator().manual_seed(SEED)
    neighbours, rows, columns = (Moments(torch.zeros(()), torch.zeros(())) for _ in range(3))
    kept = []
    for _ in range(SAMPLES // CHUNK):
        keep = inverse_block_mask(
            CHUNK,
            grid=(time, frequency),
            mask_ratio=member(content, "mask_ratio"),
            generator=generator,
        )
        grids_STF = torch.zeros(CHUNK, time * frequency).scatter_(1, keep, 1.0)
        grids_STF = grids_STF.view(CHUNK, time, frequency)
        kept.append(grids_STF.sum((1, 2)))
        neighbours.add(_neighbours_per_kept(grids_STF)[:, None])
        rows.add(grids_STF.mean(1))
        columns.add(grids_STF.mean(2))
    return torch.cat(kept), neighbours, rows, columns


def _neighbours_per_kept(grids_STF: Tensor) -> Tensor:
    """Return the mean number of kept 4-neighbours of a kept patch, per sample."""
    in_time = (grids_STF[:, 1:] * grids_STF[:, :-1]).sum((1, 2))
    in_frequency = (grids_STF[:, :, 1:] * grids_STF[:, :, :-1]).sum((1, 2))
    return 2 * (in_time + in_frequency) / grids_STF.sum((1, 2))


def _expected(content: Mapping[str, Any], place: str, found: Moments) -> Tensor:
    values = torch.tensor(member(content, f"keep_probability_by_{place}"))
    if values.shape != found.mean.shape:
        raise BatError(f"{place}: expected {len(found.mean)} probabilities, found {len(values)}")
    return values


def _standard_errors(found: Moments, expected: Tensor, reference_samples: int) -> Tensor:
    """Return the differences of the two means in standard errors of that difference."""
    apart = (found.mean - expected.double()).abs()
    error = found.deviation * math.sqrt(1 / found.samples + 1 / reference_samples)
    # A statistic that never varies has no standard error: it must be equal.
    return torch.where(apart <= ROUNDING, 0.0, apart / error)
