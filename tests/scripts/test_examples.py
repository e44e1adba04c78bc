"""Each example runs, and prints or writes what it says."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run_example(monkeypatch, capsys) -> Callable[..., str]:
    """Runs an example with these arguments; returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_attention_in_a_vit(run_example) -> None:
    swapped, difference = run_example("attention_in_a_vit.py", 32).splitlines()
    assert swapped == "modules swapped: 4"
    found = re.fullmatch(r"largest difference: (\S+) of (\S+)", difference)
    assert float(found[1]) < 1e-5 * float(found[2])


def test_flow_of_a_clip(run_example, tmp_path: Path) -> None:
    texture = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (96, 64), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "clip").mkdir()
    for t in range(3):  # moves three pixels to the left a frame
        assert cv2.imwrite(str(tmp_path / "clip" / f"{t}.png"), texture[:, 3 * t : 80 + 3 * t])
    output = tmp_path / "flow.webp"
    printed = run_example("flow_of_a_clip.py", tmp_path / "clip", output)
    speed = re.fullmatch(r"2 fields; fastest after frame [01]: (\S+) pixels a frame\n", printed)
    assert abs(float(speed[1]) - 3) < 0.3
    assert cv2.imreadanimation(str(output))[0]


@pytest.mark.parametrize("name", ["flow_of_a_clip.py", "translate.py"])
def test_without_arguments_an_example_says_how_to_call_it(run_example, name: str) -> None:
    with pytest.raises(SystemExit, match=rf"python examples/{name} "):
        run_example(name)


def test_translate(run_example, checkpoint: Path, manifest: Path) -> None:
    video, frames = manifest.parent / "first.mp4", manifest.parent / "second"
    first, details, second, more = run_example(
        "translate.py", checkpoint, video, frames
    ).splitlines()
    assert first.startswith(f"{video}: ") and second.startswith(f"{frames}: ")
    assert re.fullmatch(r"  glosses: .*; frames a second: 25", details)
    assert re.fullmatch(r"  glosses: .*; frames a second: unknown", more)
