from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from slt_fast.visualize import write_animation, write_png, write_video
from tests.visualize.test_flow import moving

COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]


def test_png_is_read_back(tmp_path: Path) -> None:
    image = moving(1)[0]
    write_png(tmp_path / "a.PNG", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.PNG"))[..., ::-1], image)
    with pytest.raises(ValueError, match=r"noext: found suffix ''; expected \.png"):
        write_png(tmp_path / "noext", image)
    with pytest.raises(OSError, match=r"gone.*a\.png"):
        write_png(tmp_path / "gone" / "a.png", image)


def test_an_animation_is_read_back(tmp_path: Path) -> None:
    pictures = [np.full((48, 64, 3), colour, np.uint8) for colour in COLOURS]
    write_animation(tmp_path / "a.webp", pictures, fps=20)
    whole, animation = cv2.imreadanimation(str(tmp_path / "a.webp"))
    assert whole and list(animation.durations) == [50, 50, 50]
    for read, picture in zip(animation.frames, pictures, strict=True):
        assert np.abs(read[..., 2::-1].astype(int) - picture).max() <= 8  # WebP is lossy
    with pytest.raises(ValueError, match=r"a\.png: found suffix '\.png'; expected \.gif or"):
        write_animation(tmp_path / "a.png", pictures)


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_a_video_is_read_back(tmp_path: Path, monkeypatch, encoder: str) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"PyAV's FFmpeg has no {encoder}")
    monkeypatch.setattr("slt_fast.visualize.files._ENCODERS", ("none", encoder))
    path = tmp_path / "a.mp4"
    path.write_text("an older file")
    pictures = [np.full((47, 63, 3), colour, np.uint8) for colour in COLOURS]  # odd sides
    write_video(path, pictures, fps=12.5)
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        assert stream.average_rate == 12.5
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(found) == 3 and [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    for frame, picture in zip(found, pictures, strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame[:47, :63].astype(int) - picture).max() <= 12  # lossy


def test_an_older_file_stays_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("an older file")
    with pytest.raises(ValueError):
        write_video(path, [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)])
    assert path.read_text() == "an older file" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match=r"a\.avi: found suffix '\.avi'; expected \.mp4"):
        write_video(tmp_path / "a.avi", [])
    with pytest.raises(OSError, match=r"gone.*a\.mp4"):
        write_video(tmp_path / "gone" / "a.mp4", [np.zeros((8, 8, 3), np.uint8)])
