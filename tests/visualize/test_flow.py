import cv2
import numpy as np
import pytest
import torch

from slt_fast.data.flow_images import flow_images
from slt_fast.visualize import flow_animation, flow_sheet


def moving(num_frames: int) -> np.ndarray:
    """Texture that moves two pixels to the right in each frame."""
    texture = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (80, 48), interpolation=cv2.INTER_CUBIC)
    return np.stack([texture[:, 16 - 2 * t : 64 - 2 * t] for t in range(num_frames)])


def colours(frames: np.ndarray, t: int, encoder: str) -> np.ndarray:
    """The image of a frame's flow that the network sees."""
    packed, size = torch.from_numpy(frames), frames.shape[1:3]
    image = flow_images(packed, size=size, bound=4.0, encoder=encoder)[t]
    return (image.movedim(0, -1) * 255).round().byte().numpy()


def test_frames_and_their_flow_are_shown() -> None:
    frames = moving(7)
    sheet = flow_sheet(frames, "clip", num_columns=3, height=48, bound=4.0)
    assert sheet.dtype == np.uint8
    for column, t in enumerate((1, 4, 6)):
        for row, picture in enumerate(
            [frames[t], colours(frames, t, "uvm"), colours(frames, t, "wheel")]
        ):
            left, top = 104 + 52 * column, 40 + 52 * row
            assert np.array_equal(sheet[top : top + 48, left : left + 48], picture)
    assert sheet.shape == (40 + 3 * 52, 104 + 3 * 52, 3)


def test_pictures_of_another_height_show_the_motion_in_their_own_pixels() -> None:
    frames = moving(2)
    sheet = flow_sheet(frames, "clip", height=96, bound=8.0)
    middle = sheet[40 + 100 + 48, 104 + 48]  # in twice the height, two pixels are four
    assert np.abs(middle.astype(int) - [191, 128, 128]).max() <= 4


def test_the_disc_has_the_colours_of_the_pictures() -> None:
    """Motion to the right is red, as it is to the right of the disc's centre."""
    sheet = flow_sheet(moving(2), "clip", height=128, bound=2.0)
    row = 40 + 2 * (128 + 4)
    picture = sheet[row + 64, 104 + 64].astype(int)
    assert picture[0] > 200 and picture[1:].max() < 60
    disc = sheet[row + 20 : row + 20 + 88, 4:92].astype(int)
    assert np.abs(disc[43, 86] - picture).max() <= 60
    assert (disc[0, 0] == 225).all() and disc[43, 43].min() > 250


def test_as_many_columns_as_there_are_motions_and_room_for_the_title() -> None:
    short = flow_sheet(moving(3), "a", num_columns=6, height=48)
    assert short.shape[1] == 104 + 2 * 52
    assert flow_sheet(moving(3), "a long title " * 9, height=48).shape[1] > 500


@pytest.mark.parametrize(
    ("num_frames", "options", "message"),
    [
        (1, {}, "frames: found 1; expected at least 2"),
        (3, {"num_columns": 0}, "columns: found 0; expected at least 1"),
        (3, {"height": 31}, "height: found 31; expected at least 32"),
        (3, {"bound": float("inf")}, "found bound inf; expected a number"),
    ],
)
def test_what_cannot_be_drawn(num_frames: int, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow_sheet(moving(num_frames), "clip", **options)


def test_an_animation_shows_each_clip_as_a_sheet_does() -> None:
    clips = [moving(4), moving(6)]
    pictures = flow_animation(clips, ["a", "b"], height=48, bound=4.0)
    assert len(pictures) == 5
    for clip, frames in enumerate(clips):
        sheet = flow_sheet(frames, "", num_columns=5, height=48, bound=4.0)
        for t, picture in enumerate(pictures):
            left, column = 104 + 52 * clip, 104 + 52 * min(t, len(frames) - 2)
            drawn = picture[20:, left : left + 52]  # below the heading
            assert np.array_equal(drawn, sheet[40:, column : column + 52])


def test_an_animation_needs_motion() -> None:
    with pytest.raises(ValueError, match="frames of b: found 1; expected at least 2"):
        flow_animation([moving(2), moving(1)], ["a", "b"])
