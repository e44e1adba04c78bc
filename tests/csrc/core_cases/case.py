"""A test case of a formula in csrc/flow/core: arguments and expected results."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NAN, INF = np.nan, np.inf
# Positions and motions that a wrong computation could produce.
ADVERSARIAL = [0, -0.0, 1e-30, -1e-30, -7, -7 + 2**-10, 7.25, 219 - 2**-10, 1e9, -1e9, 3e38]
ADVERSARIAL += [INF, -INF, NAN]

Columns = tuple[np.ndarray, ...]


class Case(NamedTuple):
    """Arguments of a formula, and its expected results.

    `expected` takes the columns of the arguments in float64 and returns the columns of the results.
    `tolerance` is relative to `scale`, which takes the same columns; None means to the result.
    """

    arguments: np.ndarray
    expected: Callable[..., Columns]
    tolerance: float
    scale: Callable[..., Columns] | None = None


def random(*bounds: float, rows: int = 2000) -> np.ndarray:
    """Returns rows of values between -bound and bound, one column for each bound."""
    values = np.random.default_rng(len(bounds)).uniform(-1, 1, (rows, len(bounds)))
    return (values * bounds).astype(np.float32)


def every(*values: list[float]) -> np.ndarray:
    return np.array(list(itertools.product(*values)), np.float32)


def positive(values: np.ndarray, columns: list[int]) -> np.ndarray:
    values[:, columns] = np.abs(values[:, columns]) + 1e-3
    return values


def of_magnitudes(formula: Callable[..., Columns]) -> Callable[..., Columns]:
    """Returns the size of a sum's terms: its error is at least the rounding of the largest."""
    return lambda *columns: formula(*(np.abs(column) for column in columns))


def bounded(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.clip(np.where(np.isnan(values), low, values), low, high)
