"""The check that comes before any time: a result against float64, beside plain PyTorch's own error.

An error is ||result - exact|| / ||exact||. It may be twice that of the plain formula in the same
type, and is never asked to be below one rounding step of the type. That of a single number in
float32, gamma's gradient, is luck (plain PyTorch may hit it exactly): it may be 4 rounding steps.
Memory that is not written is NaN during the check, and NaN is never right.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from benchmarks.cases import Inputs

Function = Callable[..., torch.Tensor]


class WrongResult(ValueError):
    """A result that is refused; no time is taken of what made it."""


@dataclass(frozen=True)
class Parity:
    """Outcome of a check.

    Args:
        errors: Error of the output and of each gradient.
        bounds: What each may be.
    """

    errors: dict[str, float]
    bounds: dict[str, float]

    @property
    def passed(self) -> bool:
        return all(self.errors[name] <= bound for name, bound in self.bounds.items())

    @property
    def worst(self) -> float:
        """The largest error in units of its bound."""
        return max(self.errors[name] / bound for name, bound in self.bounds.items())

    def require(self, name: str, slack: float = 1.0) -> None:
        """Refuses a wrong result.

        Raises:
            WrongResult: An error is over its bound, times the slack.
        """
        found = ", ".join(
            f"{result} {self.errors[result]:.2e} (bound {slack * bound:.2e})"
            for result, bound in self.bounds.items()
            if not self.errors[result] <= slack * bound
        )
        if found:
            raise WrongResult(f"{name}: found relative errors {found}; it gets no time")


@dataclass(frozen=True)
class Reference:
    """Exact results for some of the maps, and what errors they allow."""

    frames: list[int]
    exact: dict[str, torch.Tensor]
    bounds: dict[str, float]

    @classmethod
    def build(cls, formula: Function, inputs: Inputs, frames: list[int] | None = None) -> Reference:
        """Computes the plain formula in float64, and in the inputs' own type for its error.

        Args:
            formula: The plain formula.
            inputs: What the operator is called with; the layout does not matter.
            frames: Maps that are looked at; None means the first and the last.
        """
        frames = frames or sorted({0, len(inputs.gradient) - 1})
        few = inputs.frames(frames)
        exact = results(formula, few.changed(torch.Tensor.double))
        plain = results(formula, few)
        bounds = {
            name: max(2 * relative_error(plain[name], value), _least_bound(plain[name]))
            for name, value in exact.items()
        }
        return cls(frames, exact, bounds)


def check(function: Function, inputs: Inputs, reference: Reference, poison: bool = True) -> Parity:
    """Compares a function's output and gradients with a reference.

    The gradient handed to it is zero but for the reference's maps, so that gradients of weights,
    sums over all maps, can be compared, and those of all other maps must be zero.

    Args:
        function: What is checked; called with all maps.
        inputs: Its inputs.
        reference: Made from the same values.
        poison: Whether memory is NaN until written; compiled code is not worth compiling twice.
    """
    mask = torch.zeros(len(inputs.gradient), dtype=torch.bool, device=inputs.gradient.device)
    mask[reference.frames] = True
    gradient = inputs.gradient
    if not mask.all():
        gradient = gradient.clone()
        gradient[~mask] = 0
    with poisoned_memory() if poison else contextlib.nullcontext():
        found = results(function, inputs, gradient)
    errors = {}
    for name, exact in reference.exact.items():
        value = found[name]
        if name == "output" or name in inputs.names[: inputs.num_mapped]:
            rest = value[~mask]
            is_wrong = not rest.isfinite().all() if name == "output" else rest.count_nonzero()
            value = value[mask]
        else:
            is_wrong = False
        errors[name] = float("inf") if is_wrong else relative_error(value, exact)
    return Parity(errors, reference.bounds)


def results(
    function: Function, inputs: Inputs, gradient: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """A function's output and the gradients of its leaves."""
    y = function(*inputs.leaves, *inputs.constants)
    handed = inputs.gradient if gradient is None else gradient
    gradients = torch.autograd.grad(y, inputs.leaves, handed)
    return {"output": y.detach(), **dict(zip(inputs.names, gradients, strict=True))}


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Norm of the error over that of the exact value; NaN and a wrong shape are the worst error."""
    if value.shape != exact.shape:
        return float("inf")
    error = (value.double() - exact).norm() / exact.norm().clamp(min=1e-30)
    return float(error.nan_to_num(torch.inf))


def _least_bound(plain: torch.Tensor) -> float:
    """What an error is never asked to be below."""
    is_lucky = plain.ndim == 0 and plain.dtype == torch.float32
    return (4 if is_lucky else 1) * torch.finfo(plain.dtype).eps


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fills what torch allocates with NaN, which it does in its deterministic mode only."""
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deterministic.*")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = fill
