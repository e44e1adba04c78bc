"""The CPU's flow under AddressSanitizer and UndefinedBehaviorSanitizer, on random clips.

Here a few clips of small frames, with all our presets. The long version is the same program, built
with -O1 (which takes g++ a minute) and given more:
`flow_sanitized 64 11 1100 900 200 2500000`.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]
FLOW = PROJECT_ROOT / "csrc" / "flow"
SOURCES = [
    Path(__file__).with_name("flow_sanitized.cpp"),
    *(FLOW / "cpu" / f"{name}.cpp" for name in ("baseline", "avx2", "levels")),
]
FLAGS = [
    "-O0",
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-pthread",
]
# This seed draws every preset and every pattern.
CLIPS, SEED = "12", "47"
LARGEST_HEIGHT, LARGEST_WIDTH, MOST_FRAMES, MOST_PIXELS = "60", "80", "12", "10000"


@pytest.mark.slow
def test_random_clips_touch_only_their_own_memory(build: Callable[..., Path]) -> None:
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True)
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip("g++ has no libasan: install its sanitizers")
    program = build("flow_sanitized", SOURCES, *FLAGS)
    limits = (LARGEST_HEIGHT, LARGEST_WIDTH, MOST_FRAMES, MOST_PIXELS)
    result = subprocess.run(
        [program, CLIPS, SEED, *limits], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"{CLIPS} clips of ")
    assert not re.search(" 0[ ;]", result.stdout), "a preset or a pattern was not drawn"
