from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from slt_fast.data.flow_image import flow_images
from slt_fast.visualize import frames_and_flow, write_png


def moving(num_frames: int) -> np.ndarray:
    """Texture that moves two pixels to the right in each frame."""
    texture = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (80, 48), interpolation=cv2.INTER_CUBIC)
    return np.stack([texture[:, 16 - 2 * t : 64 - 2 * t] for t in range(num_frames)])


def test_frames_stand_above_their_flow() -> None:
    frames = moving(7)
    sheet = frames_and_flow(frames, num_columns=3, bound=4.0)
    assert sheet.shape == (3 * 48, 3 * 48, 3) and sheet.dtype == np.uint8
    for column, t in enumerate((1, 4, 6)):
        part = sheet[:, 48 * column : 48 * (column + 1)]
        assert np.array_equal(part[:48], frames[t])
        for row, encoder in ((1, "uvm"), (2, "wheel")):
            packed = torch.from_numpy(frames)
            expected = flow_images(packed, size=(48, 48), bound=4.0, encoder=encoder)[t]
            colours = (expected.movedim(0, -1) * 255).round().byte().numpy()
            assert np.array_equal(part[48 * row : 48 * (row + 1)], colours)


@pytest.mark.parametrize(
    ("num_frames", "options", "message"),
    [
        (1, {}, "frames: found 1; expected at least 2"),
        (3, {"num_columns": 0}, "columns: found 0; expected at least 1"),
        (3, {"bound": float("inf")}, "found bound inf; expected a number"),
    ],
)
def test_what_cannot_be_drawn(num_frames: int, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frames_and_flow(moving(num_frames), **options)


def test_png_is_read_back(tmp_path: Path) -> None:
    image = moving(1)[0]
    write_png(tmp_path / "a.PNG", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.PNG"))[..., ::-1], image)
    with pytest.raises(ValueError, match=r"noext: found suffix ''; expected \.png"):
        write_png(tmp_path / "noext", image)
    with pytest.raises(OSError, match=r"gone.*a\.png"):
        write_png(tmp_path / "gone" / "a.png", image)
