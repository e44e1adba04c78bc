from pathlib import Path

import cv2
import numpy as np
import pytest


def test_draws_a_page_of_clips(run_script, manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "flow.png"
    videos = [manifest.parent / name for name in ("second", "first.mp4")]
    options = ["--columns", 2, "--height", 64, "--preset", "fast", "--output", output]
    finished = run_script("visualize_flow.py", *videos, *options)
    assert finished.status == 0 and f"wrote {output}" in finished.out
    height, width, _ = cv2.imread(str(output)).shape
    assert height == 2 * (2 * 20 + 3 * 68 + 4) and width >= 104 + 2 * 68


def test_draws_clips_of_the_synthetic_corpus(run_script, tmp_path: Path) -> None:
    options = ["--clips", 2, "--columns", 1, "--height", 48, "--output", tmp_path / "flow.png"]
    assert run_script("visualize_flow.py", *options).status == 0
    assert len(cv2.imread(str(tmp_path / "flow.png"))) == 2 * (2 * 20 + 3 * 52 + 4)


def test_draws_an_animation(run_script, manifest: Path, tmp_path: Path) -> None:
    output = tmp_path / "flow.gif"
    videos = [manifest.parent / name for name in ("second", "first.mp4")]
    options = ["--height", 64, "--preset", "fast", "--output", output]
    assert run_script("visualize_flow.py", *videos, *options).status == 0
    whole, animation = cv2.imreadanimation(str(output))
    assert whole and animation.frames[0].shape[:2] == (20 + 3 * 68, 104 + 2 * 68)


def test_a_single_frame(run_script, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert cv2.imwrite(str(tmp_path / "one" / "0.png"), np.zeros((40, 40, 3), np.uint8))
    finished = run_script("visualize_flow.py", tmp_path / "one", "--output", tmp_path / "a.png")
    assert finished.status == 1
    assert f"error: {tmp_path / 'one'}: frames: found 1; expected at least 2" in finished.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "raft"], "found preset 'default' with backend 'raft'; expected one of"),
        (["--clips", "0"], "clips: found 0; expected at least 1"),
        (["--clips", "1", "--output", "noext"], "noext: found suffix ''; expected .png"),
    ],
)
def test_bad_options(run_script, options: list[str], message: str) -> None:
    finished = run_script("visualize_flow.py", *options)
    assert finished.status and message in finished.err + finished.out


def test_an_output_that_cannot_be_written_is_named_first(run_script, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "slt_fast.data.synthetic.SyntheticSource.read", lambda _: pytest.fail("read a clip")
    )
    output = tmp_path / "gone" / "page.png"
    finished = run_script("visualize_flow.py", "--output", output)
    message = f"error: {output.parent}: found no such folder; expected one to write page.png to"
    assert finished.status == 1 and message in finished.err


def test_a_video_is_not_overwritten(run_script, manifest: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.gif"
    video.write_bytes(b"a clip")
    videos = [manifest.parent / "first.mp4", video]
    finished = run_script("visualize_flow.py", *videos, "--output", video)
    found = f"--output: found {video}, which belongs to the videos; expected another place"
    assert finished.status == 1 and found in finished.err and video.read_bytes() == b"a clip"
