"""Comparisons of what was found with what was expected."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from bat.conformance.case import GoldenCase
from bat.errors import BatError

# Relative errors of whole tensors that float32 rounding explains. A gradient passes twice as many
# operations as a result and sums over clips and patches.
FORWARD = 1e-5
GRADIENT = 1e-4
# Relative error of a scalar that is a mean over many elements.
SCALAR = 1e-6


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison.

    Attributes
    ----------
    what : str
        Name of the compared quantity.
    error, tolerance : float
        How far off it is, and how far it may be.
    """

    what: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; one that is not a number is not."""
        return self.error <= self.tolerance

    @property
    def severity(self) -> float:
        """Error over tolerance, infinite where it is not a number: which check is the worst."""
        if self.tolerance == 0:
            return 0.0 if self.error == 0 else math.inf
        ratio = self.error / self.tolerance
        return math.inf if math.isnan(ratio) else ratio


def relative(what: str, found: Tensor, expected: Tensor, tolerance: float) -> Check:
    """Compare by the relative error of the whole tensor, in float64.

    The norm of the difference over the norm of the expected tensor, or the largest difference over
    the largest expected value where that is more: one wrong value among many hardly moves a norm.
    Where all expected values are zero, the largest found magnitude.
    """
    apart = difference(what, found, expected)
    scale, largest = float(expected.detach().double().norm()), _largest(expected)
    error = _largest(apart)
    if largest:
        error = max(float(apart.norm()) / scale, error / largest)
    return Check(what=what, error=error, tolerance=tolerance)


def absolute(what: str, found: Tensor, expected: Tensor, tolerance: float) -> Check:
    """Compare by the largest absolute difference, in float64."""
    error = _largest(difference(what, found, expected))
    return Check(what=what, error=error, tolerance=tolerance)


def scalar(what: str, found: float, expected: float, tolerance: float) -> Check:
    """Compare two numbers by their relative error, or by the absolute one if zero is expected."""
    apart = abs(found - expected)
    error = apart / abs(expected) if expected else apart
    return Check(what=what, error=error, tolerance=tolerance)


def gradients(case: GoldenCase, module: nn.Module) -> Iterator[Check]:
    """Compare the gradients of a module's parameters with the case's ``grad.*``."""
    found = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    yield from same_tensors("grad.", found, case.below("grad."), GRADIENT)


def input_gradients(case: GoldenCase, inputs: Mapping[str, Tensor]) -> Iterator[Check]:
    """Compare the gradients of inputs with the case's ``grad_input.*``."""
    found = {name: tensor.grad for name, tensor in inputs.items() if tensor.grad is not None}
    yield from same_tensors("grad_input.", found, case.below("grad_input."), GRADIENT)


def same_tensors(
    prefix: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float
) -> Iterator[Check]:
    """Compare tensors by name; raise BatError unless both sides have the same names."""
    same_names(prefix, found, expected)
    for name, tensor in found.items():
        yield relative(prefix + name, tensor, expected[name], tolerance)


def same_names(prefix: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise BatError unless exactly the computed tensors are expected."""
    if missing := sorted(prefix + name for name in found.keys() - expected.keys()):
        raise BatError(f"tensors missing: {', '.join(missing)}")
    if surplus := sorted(prefix + name for name in expected.keys() - found.keys()):
        raise BatError(f"expected tensors that are not computed: {', '.join(surplus)}")


def difference(what: str, found: Tensor, expected: Tensor) -> Tensor:
    """Return found less expected in float64; raise BatError if their shapes differ."""
    if found.shape != expected.shape:
        raise BatError(f"{what}: expected shape {list(expected.shape)}, found {list(found.shape)}")
    return found.detach().double() - expected.detach().double()


def _largest(values: Tensor) -> float:
    return float(values.detach().double().abs().max()) if values.numel() else 0.0
