from pathlib import Path

import numpy as np
import pytest

from slt_fast.data.crop import Crop, cropped
from slt_fast.errors import DataError, UserError

PLACE = Path("a.mp4")


def frame(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.randint(0, 255, (height, width, 3), np.uint8)


def test_the_box_is_shown() -> None:
    image = frame()
    (shown,) = cropped([image], Crop(1, 2, 4, 3), PLACE)
    np.testing.assert_array_equal(shown, image[2:5, 1:5])
    assert shown.flags.c_contiguous and shown.base is None
    (all_,) = cropped([image], None, PLACE)
    assert all_ is image


def test_a_frame_that_is_shown_again_stays_one_object() -> None:
    first, second = frame(), frame()
    shown = list(cropped([first, first, second], Crop(0, 0, 2, 2), PLACE))
    assert shown[0] is shown[1] and shown[1] is not shown[2]


@pytest.mark.parametrize("box", [(0, 0, 8, 1), (0, 0, 1, 6), (4, 0, 4, 1), (0, 3, 7, 3)])
def test_a_box_outside_of_the_frame(box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    message = (
        f"a.mp4: found a crop box of x {x}, y {y}, width {width}, height {height}; "
        "expected a box inside the video's 7x5 pixels"
    )
    with pytest.raises(DataError, match=message):
        list(cropped([frame()], Crop(*box), PLACE))
    x, y = min(x, 7 - 1), min(y, 5 - 1)
    list(cropped([frame()], Crop(x, y, 7 - x, 5 - y), PLACE))


@pytest.mark.parametrize("box", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_a_box_that_is_none(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(UserError, match="crop: found x .*; expected x and y from 0"):
        Crop(*box)
