"""What a call costs the CPU until its kernels are started, against eager PyTorch on tiny maps."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks import comparison

pytest.importorskip("triton", reason="needs triton, which is a package for Linux")

NAMES = (
    "pixel_attention_block",
    "pixel_attention_block in one kernel",
    "pixel_attention",
    "add_positional_encoding_2d",
)


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.launches"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("direction", ["inference", "forward", "both"])
@pytest.mark.parametrize("name", NAMES)
def test_launches(benchmark, program: subprocess.Popen, name: str, direction: str) -> None:
    def sample(who: str) -> float:
        program.stdin.write(f"{name}, {direction}, {who}\n")
        program.stdin.flush()
        return float(program.stdout.readline())

    ours, eager = (lambda: sample("ours")), (lambda: sample("eager"))
    samples = comparison.in_turns(benchmark, ours, eager, num_pairs=21)
    facts = {"operator": name, "direction": direction, "size": "2 maps of 64x2x2"}
    comparison.add_row(benchmark, comparison.Row("CPU time of a call", facts, *samples.T))
