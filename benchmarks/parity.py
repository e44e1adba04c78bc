"""The one criterion of tests, benchmarks and report: a result against float64.

An error is ||result - exact|| / ||exact||. It may be twice that of the plain formula in the same
type, and is never asked to be below one rounding step of the type. Gamma's gradient in float32 is a
single number, which plain PyTorch may hit exactly by luck: its error may be 4 rounding steps.
Memory that is not written is NaN during the check, and NaN is never right.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from benchmarks.cases import Inputs

Function = Callable[..., torch.Tensor]
Results = dict[str, torch.Tensor]


class WrongResult(ValueError):
    """A result whose error is over its bound; it gets no time."""


class Parity(NamedTuple):
    """Errors of the output and of each gradient, and the largest allowed ones."""

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
        """Raises WrongResult if an error is over its bound times the slack."""
        found = ", ".join(
            f"{result} {self.errors[result]:.2e} (bound {slack * bound:.2e})"
            for result, bound in self.bounds.items()
            if not self.errors[result] <= slack * bound
        )
        if found:
            raise WrongResult(f"{name}: found relative errors {found}; expected none over a bound")


class Reference(NamedTuple):
    """Exact results for some of the maps, and the errors that they allow."""

    maps: list[int]
    exact: Results
    bounds: dict[str, float]
    joined: Sequence[str]

    @classmethod
    def build(
        cls, formula: Function, inputs: Inputs, maps: Sequence[int] = (), joined: Sequence[str] = ()
    ) -> Reference:
        """Computes the plain formula in float64, and in the inputs' own type for its error.

        By default the first and the last map are compared. Joined gradients are measured as one
        vector, as an optimiser sees them, because a scalar that sums thousands of terms has no
        scale of its own.
        """
        maps = list(maps) or sorted({0, len(inputs.gradient) - 1})
        few = inputs.of_maps(maps)
        exact = _joined(results(formula, few.changed(torch.Tensor.double)), joined)
        plain = _joined(results(formula, few), joined)
        step = torch.finfo(inputs.gradient.dtype).eps
        least = dict.fromkeys(exact, step)
        if inputs.gradient.dtype == torch.float32:
            least["gamma"] = 4 * step
        bounds = {
            name: max(2 * relative_error(plain[name], value), least[name])
            for name, value in exact.items()
        }
        return cls(maps, exact, bounds, joined)


def check(function: Function, inputs: Inputs, reference: Reference, poison: bool = True) -> Parity:
    """Compares a function's output and gradients with a reference.

    The output's gradient is zero outside the reference's maps. So gradients of weights, which are
    sums over all maps, can be compared, and gradients of all other maps must be zero. Poison fills
    memory with NaN until it is written; compiled code would compile twice.
    """
    gradient = inputs.gradient
    mask = torch.zeros(len(gradient), dtype=torch.bool, device=gradient.device)
    mask[reference.maps] = True
    if not mask.all():  # else its strides stay
        gradient = gradient.clone()
        gradient[~mask] = 0
    with poisoned_memory() if poison else contextlib.nullcontext():
        found = results(function, inputs, gradient)
    if found["output"].dtype != gradient.dtype:
        raise WrongResult(f"found an output of {found['output'].dtype}; expected {gradient.dtype}")
    for name in ("output", *inputs.names[: inputs.num_mapped]):
        rest = found[name][~mask]
        is_wrong = not rest.isfinite().all() if name == "output" else rest.count_nonzero()
        found[name] = found[name][mask]
        if is_wrong:
            found[name] = torch.full_like(found[name], torch.nan)
    found = _joined(found, reference.joined)
    errors = {name: relative_error(found[name], exact) for name, exact in reference.exact.items()}
    return Parity(errors, reference.bounds)


def results(function: Function, inputs: Inputs, gradient: torch.Tensor | None = None) -> Results:
    """Computes a function's output and the gradients of its leaves."""
    y = function(*inputs.leaves, *inputs.constants)
    gradient = inputs.gradient if gradient is None else gradient
    gradients = torch.autograd.grad(y, inputs.leaves, gradient)
    return {"output": y.detach(), **dict(zip(inputs.names, gradients, strict=True))}


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Computes ||value - exact|| / ||exact||; NaN and a wrong shape are the worst error."""
    if value.shape != exact.shape:
        return float("inf")
    error = (value.detach().double() - exact).norm() / exact.norm().clamp(min=1e-30)
    return float(error.nan_to_num(torch.inf))


def _joined(values: Results, joined: Sequence[str]) -> Results:
    """Puts one vector in the place of some of the results."""
    if not joined:
        return values
    vector = torch.cat([values[name].flatten() for name in joined])
    others = {name: value for name, value in values.items() if name not in joined}
    return {**others, ", ".join(joined): vector}


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fills memory that torch allocates with NaN, which needs its deterministic mode."""
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
