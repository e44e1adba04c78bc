"""Replays of plans: the same launches as through Triton, and when there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slt_fast.ops import replaying

pytest.importorskip("triton", reason="needs triton, which is a package for Linux")

ROOT = Path(__file__).parents[2]


def checked(*which: str) -> tuple[int, int]:
    """Runs replays.py; returns the numbers of calls and launches that it compared."""
    if not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("needs a C compiler for the driver that does nothing")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.ops.replays", *which]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    num_calls, num_launches = (int(word) for word in result.stdout.split() if word.isdigit())
    return num_calls, num_launches


def test_replays_start_kernels_as_triton_does() -> None:
    num_calls, num_launches = checked()
    assert num_calls == 2 * (10 + 1) + 31 < num_launches


@pytest.mark.slow
def test_replays_of_all_regimes_and_types() -> None:
    num_calls, num_launches = checked("all")
    assert num_calls == 3 * (3 * 2 * 10 + 31) + 2 * 2 < num_launches


def test_only_known_versions_of_triton_are_replayed(monkeypatch) -> None:
    import triton

    for version, is_known in (("3.8.1", True), ("3.80.0", False), ("4.0.0", False)):
        monkeypatch.setattr(triton, "__version__", version)
        replaying.is_known_triton.cache_clear()
        assert replaying.is_known_triton() == is_known
    replaying.is_known_triton.cache_clear()


def test_hooks_are_seen() -> None:
    import triton

    def hook(*_) -> None: ...

    runtime = triton.knobs.runtime
    assert not replaying.has_hooks()
    for chain in (runtime.launch_enter_hook, runtime.launch_exit_hook):
        chain.add(hook)
        assert replaying.has_hooks()
        chain.remove(hook)
        assert not replaying.has_hooks()
