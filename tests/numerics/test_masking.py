import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bat.errors import BatError
from bat.pretraining.masking import inverse_block_mask
from numerics.conformance import GOLDEN


def kept_grids(samples: int, grid: tuple[int, int]) -> Tensor:
    keep = inverse_block_mask(samples, grid=grid, generator=torch.Generator().manual_seed(0))
    return torch.zeros(samples, grid[0] * grid[1]).scatter_(1, keep, 1.0).view(samples, *grid)


def neighbours_per_kept(kept: Tensor) -> Tensor:
    """Mean number of kept 4-neighbours of a kept patch, per sample."""
    in_time = (kept[:, 1:] * kept[:, :-1]).sum((1, 2))
    in_frequency = (kept[:, :, 1:] * kept[:, :, :-1]).sum((1, 2))
    return 2 * (in_time + in_frequency) / kept.sum((1, 2))


def assert_means_agree(found: Tensor, expected: Tensor, reference_samples: int) -> None:
    """Within three standard errors of the difference of two means of samples [S, ...]."""
    error = found.std(0) * (1 / len(found) + 1 / reference_samples) ** 0.5
    assert ((found.mean(0) - expected).abs() < 3 * error).all()


def test_masks_follow_the_references_law():
    reference = json.loads((GOLDEN / "mask_statistics.json").read_text())
    kept = kept_grids(8000, tuple(reference["grid"]))
    samples = reference["samples"]
    neighbours = torch.tensor(reference["mean_kept_neighbours_of_a_kept_patch"])
    assert_means_agree(neighbours_per_kept(kept), neighbours, samples)
    rows = torch.tensor(reference["keep_probability_by_frequency_row"])
    assert_means_agree(kept.mean(1), rows, samples)
    columns = torch.tensor(reference["keep_probability_by_time_column"])
    assert_means_agree(kept.mean(2), columns, samples)


@settings(max_examples=40, deadline=None)
@given(
    time=st.integers(1, 20),
    frequency=st.integers(2, 8),
    mask_ratio=st.floats(0.2, 0.8),
    seed=st.integers(0, 99),
)
def test_any_grid_keeps_exactly_the_wanted_number(time, frequency, mask_ratio, seed):
    wanted = int((1 - mask_ratio) * time * frequency)
    if wanted == 0:
        return
    keep = inverse_block_mask(
        3,
        grid=(time, frequency),
        mask_ratio=mask_ratio,
        generator=torch.Generator().manual_seed(seed),
    )
    assert keep.shape == (3, wanted)
    assert keep.dtype == torch.int64
    assert (keep.diff(dim=1) > 0).all()
    assert keep.min() >= 0
    assert keep.max() < time * frequency


def test_a_small_grid_keeps_a_block_too():
    kept = kept_grids(200, (7, 8))
    assert (kept.sum((1, 2)) == 11).all()
    scattered = torch.rand(200, 56).topk(11).indices
    random = torch.zeros(200, 56).scatter_(1, scattered, 1.0).view(200, 7, 8)
    assert neighbours_per_kept(kept).mean() > 1.5 * neighbours_per_kept(random).mean()


def test_the_same_generator_state_gives_the_same_masks():
    assert torch.equal(kept_grids(5, (7, 8)), kept_grids(5, (7, 8)))


def test_a_ratio_that_keeps_nothing_is_refused():
    with pytest.raises(BatError, match="keeps some but not all of 4 patches"):
        inverse_block_mask(1, grid=(2, 2), mask_ratio=0.9, generator=torch.Generator())
