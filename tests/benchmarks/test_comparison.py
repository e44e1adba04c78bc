import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks.comparison import Row, in_turns, opponents
from benchmarks.jobs import ROOT


class Pedantic:
    """pytest-benchmark's fixture, as far as it is used."""

    def pedantic(self, function, rounds: int) -> None:
        for _ in range(rounds):
            function()


def test_ours_and_the_peer_take_turns() -> None:
    calls = []

    def sample(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds + len(calls)

    turns = in_turns(Pedantic(), lambda: sample("A", 0.5), lambda: sample("B", 0.25), num_pairs=3)
    assert "".join(calls) == "ABABABAB"  # the first pair warms up
    assert turns.tolist() == [[3.5, 4.25], [5.5, 6.25], [7.5, 8.25]]


def test_a_ratio_is_of_the_pairs() -> None:
    """The machine slows down from pair to pair, which the pairs' ratios do not see."""
    peer = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    row = Row("table", {"size": "7x7"}, 0.5 * peer, peer)
    assert row.spread == (0.5, 0.5, 0.5) and not row.is_noise
    expected = {"size": "7x7", "ours ms": "2000.000", "peer ms": "4000.000", "ratio": "0.50"}
    assert row.cells == expected | {"[p20 - p80]": "[0.50 - 0.50]"}


@pytest.mark.parametrize(("spread", "is_noise"), [(0.12, False), (0.13, True)])
def test_a_wide_spread_is_noise(spread: float, is_noise: bool) -> None:
    ours = np.array([1 - spread, 1 - spread, 1.0, 1 + spread, 1 + spread])
    row = Row("table", {}, ours, np.ones(5))
    assert row.is_noise == is_noise
    assert ("NOISE" in row.cells["[p20 - p80]"]) == is_noise


def test_without_a_peer_the_spread_is_of_times() -> None:
    row = Row("table", {}, np.array([0.002, 0.002, 0.002]))
    assert row.cells == {"ours ms": "2.000", "[p20 - p80]": "[2.00 - 2.00]"}


def test_each_peer_is_compared() -> None:
    names = opponents("pixel_attention")
    assert {"eager, channels_last", "eager, NCHW", "torch.compile"} < set(names)
    assert not any(name.startswith("ours") for name in names)


@pytest.mark.slow
def test_the_command_prints_a_table_for_each_operator(monkeypatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # no benchmark runs in a worker
    command = [sys.executable, "-m", "pytest", "benchmarks/test_positional_encoding.py"]
    command += ["--benchmark-only", "-k", "eager and (7 or 14)", "-p", "no:cacheprovider"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    printed = finished.stdout
    assert f"torch {torch.__version__}" in printed
    assert "positional_encoding: ours against peers, in turns" in printed
    rows = re.findall(r"^\d+ x (7x7|14x14) .*(forward|both) +eager .*\[.*\]", printed, re.M)
    # Both layouts of each size and direction, ordered by size.
    sizes = [size for size, _ in rows if size]
    assert len(rows) == 8 and sizes == sorted(sizes, key=len)
