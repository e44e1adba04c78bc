"""Ours and a peer strictly in turns: A B A B, so that noise of the machine meets both.

A ratio is the median of the pairs' ratios. Its 20th and 80th percentiles tell how far it can be
trusted: if they are further apart than NOISE, the row means nothing and is marked.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from benchmarks import timing
from benchmarks.cases import SIDES, Case, Inputs, case_of
from benchmarks.parity import Function
from benchmarks.peers import checked, peer_of, peers

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NOISE = 0.25  # of the ratio
PAIR_SECONDS = 0.35  # about how long all pairs of a row take
MIN_PAIRS, MAX_PAIRS = 5, 50
SAMPLE_SECONDS = 2e-3  # shorter calls are repeated within a sample


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    table: str
    facts: dict[str, str]  # what was timed: column to text
    ours: np.ndarray  # seconds a call, sample by sample
    peer: np.ndarray | None = None  # the same, each sample taken directly after ours

    @property
    def spread(self) -> tuple[float, float, float]:
        """20th, 50th and 80th percentile of ours / peer; without a peer of ours in ms."""
        values = self.ours * 1e3 if self.peer is None else self.ours / self.peer
        p20, median, p80 = np.percentile(values, [20, 50, 80]).tolist()
        return p20, median, p80

    @property
    def is_noise(self) -> bool:
        """True if the percentiles are too far apart for the row to mean anything."""
        p20, median, p80 = self.spread
        return p80 - p20 > NOISE * median

    @property
    def cells(self) -> dict[str, str]:
        p20, median, p80 = self.spread
        cells = {**self.facts, "ours ms": f"{np.median(self.ours) * 1e3:.3f}"}
        if self.peer is not None:
            cells |= {"peer ms": f"{np.median(self.peer) * 1e3:.3f}", "ratio": f"{median:.2f}"}
        mark = "  <-- NOISE, means nothing" if self.is_noise else ""
        return cells | {"[p20 - p80]": f"[{p20:.2f} - {p80:.2f}]{mark}"}


ROWS: list[Row] = []  # conftest.py prints them at the end


def add_row(benchmark, row: Row) -> None:
    """Keeps a row for the tables and for pytest-benchmark's JSON."""
    ROWS.append(row)
    p20, median, p80 = row.spread
    numbers = {"p20": p20, "median": median, "p80": p80, "is noise": row.is_noise}
    benchmark.extra_info |= {"table": row.table, **row.cells, **numbers}


def against_peers(operator: str) -> Callable:
    """Makes the test that times an operator in turns with each peer, if both are right."""

    @pytest.mark.parametrize("direction", ["forward", "both"])
    @pytest.mark.parametrize("name", opponents(operator))
    @pytest.mark.parametrize("side", SIDES)
    def test(benchmark, side: int, name: str, direction: str) -> None:
        case = case_of(operator, side, DEVICE)
        layout = peer_of(case, name).layout
        try:
            other = checked_once(case, name)
        except RuntimeError as error:  # a fused attention that does not take these sizes, or memory
            if name.startswith("eager"):
                raise
            pytest.skip(f"{name} cannot run: {timing.first_line(error)}")
        ours = checked_once(case, "ours, NCHW" if layout == "nchw" else "ours, channels_last")
        steps = [timing.make_step(*both, direction) for both in (ours, other)]
        samples = in_turns(benchmark, *map(_repeated, steps))
        facts = {"size": f"{case.B} x {side}x{side}", "dtype": case.dtype, "layout": layout}
        peer = "eager" if name.startswith("eager") else name  # the layout has its own column
        facts |= {"direction": direction, "peer": peer}
        add_row(benchmark, Row(operator, facts, *samples.T))

    return test


def opponents(operator: str) -> list[str]:
    return [p.name for p in peers(operator, DEVICE) if not p.name.startswith("ours")]


def in_turns(
    benchmark, ours: Callable[[], float], peer: Callable[[], float], num_pairs: int | None = None
) -> np.ndarray:
    """Samples the seconds a call of ours and a peer in turns, [pairs, 2].

    The benchmark's own time is that of a pair. By default as many pairs as fit into PAIR_SECONDS.
    """
    samples: list[tuple[float, float]] = []

    def pair() -> None:
        samples.append((ours(), peer()))

    seconds = timing.run_calls(itertools.repeat(pair), 1, torch.device(DEVICE))  # and the warm-up
    if num_pairs is None:
        num_pairs = int(np.clip(PAIR_SECONDS / seconds, MIN_PAIRS, MAX_PAIRS))
    benchmark.pedantic(pair, rounds=num_pairs)
    return np.array(samples[-num_pairs:])


def _repeated(step: timing.Step) -> Callable[[], float]:
    """Returns what takes a sample of a step."""
    turn, device = itertools.repeat(step), torch.device(DEVICE)
    calls = max(1, round(SAMPLE_SECONDS / timing.run_calls(turn, 1, device)))
    return lambda: timing.run_calls(turn, calls, device) / calls


@functools.lru_cache(maxsize=2)  # the two that are compared; a GPU holds no more
def checked_once(case: Case, name: str) -> tuple[Function, Inputs]:
    """Returns a peer's function and inputs; raises WrongResult if it is wrong."""
    return checked(case, peer_of(case, name))[:2]
