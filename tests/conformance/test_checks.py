import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bat.conformance.checks import Check, absolute, relative, scalar
from bat.conformance.masking import largest_as_of_one
from bat.errors import BatError


def test_errors_are_relative_to_the_whole_tensor_and_computed_in_double_precision():
    expected = torch.tensor([3.0, 4.0], dtype=torch.float64)
    found = expected + torch.tensor([1e-12, 0.0], dtype=torch.float64)
    assert relative("x", found, expected, 1e-6).error == pytest.approx(0.25e-12, rel=1e-3)


def test_one_wrong_value_among_many_shows():
    expected = torch.ones(10_000)
    found = expected.clone()
    found[5] += 1e-3
    assert relative("x", found, expected, 1e-5).error == pytest.approx(1e-3, rel=1e-3)


def test_where_zero_is_expected_errors_are_absolute():
    found = torch.tensor([0.0, -2e-7])
    assert relative("x", found, torch.zeros(2), 1e-5).error == pytest.approx(2e-7)
    assert scalar("x", 1e-12, 0.0, 1e-9).error == 1e-12


def test_the_largest_difference_counts_absolutely():
    assert absolute("x", torch.tensor([1.0, 5.0]), torch.tensor([1.5, 5.0]), 1.0).error == 0.5


def test_shapes_are_not_broadcast():
    for compare in (relative, absolute):
        with pytest.raises(BatError, match=r"x: expected shape \[3\], found \[1, 3\]"):
            compare("x", torch.zeros(1, 3), torch.zeros(3), 1.0)


def test_what_is_not_a_number_never_passes_and_is_the_worst():
    check = relative("x", torch.tensor([math.nan, 1.0]), torch.ones(2), 1e-5)
    assert not check.passed
    assert check.severity == math.inf


def test_a_tolerance_of_zero_allows_no_error():
    assert Check(what="x", error=0.0, tolerance=0.0).passed
    assert not Check(what="x", error=1e-300, tolerance=0.0).passed


@given(st.floats(0, 100), st.integers(1, 500))
def test_the_largest_of_many_is_less_surprising_than_one(largest, count):
    corrected = largest_as_of_one(largest, count)
    assert -1e-9 <= corrected <= largest + 1e-6
    if count == 1:
        assert corrected == pytest.approx(largest, abs=1e-6)


def test_the_largest_of_72_exceeds_its_tolerance_as_seldom_as_one_exceeds_three():
    draws = torch.randn(200_000, 72, generator=torch.Generator().manual_seed(0)).abs().amax(1)
    threshold = next(x / 100 for x in range(600) if largest_as_of_one(x / 100, 72) > 3)
    assert float((draws > threshold).float().mean()) == pytest.approx(0.0027, rel=0.15)
