import numpy as np
import pytest
import torch

from slt_fast.inference.attention import ClipAttention
from slt_fast.training.pictures import attention_picture

T, WORDS = 5, ["ein", "schläft"]


def attention(place: tuple[int, int], frame: int) -> ClipAttention:
    positions, frames = torch.zeros(T, 2, 2), torch.zeros(len(WORDS) + 1, T)
    positions[:, place[0], place[1]] = 1
    frames[:, frame] = 1
    return ClipAttention(positions, frames)


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.astype(float).sum(2)


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (1, 1)])
def test_bright_where_the_model_looks(place) -> None:
    """In a black frame only the attention can be bright."""
    picture = attention_picture(torch.zeros(T, 3, 16, 16), attention(place, 3), WORDS)
    assert picture.dtype == np.uint8 and picture.ndim == 3
    first = brightness(picture[152:264, 120:232])  # 18 headings, 116 frames; a gutter of 120
    quarters = first.reshape(2, 56, 2, 56).mean((1, 3))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == place


def test_a_line_for_each_word_and_the_end() -> None:
    picture = attention_picture(torch.zeros(T, 3, 16, 16), attention((0, 0), 3), WORDS)
    lines = brightness(picture[-22 * 3 :, 120 : 120 + 5 * 116 - 4])
    for line in np.split(lines, 3):
        fifths = [part.mean() for part in np.array_split(line[:18], T, axis=1)]
        assert np.argmax(fifths) == 3
    # The labels differ.
    labels = np.split(picture[-22 * 3 :, :120], 3)
    assert (labels[0] != labels[1]).any() and all((label != 225).any() for label in labels)


def test_long_and_short_clips_and_numbers_out_of_range() -> None:
    long = ClipAttention(torch.rand(60, 7, 7), torch.rand(1, 60))
    assert attention_picture(2 * torch.rand(60, 3, 8, 8), long, []).shape[1] == 120 + 8 * 116
    one = ClipAttention(torch.rand(1, 7, 7), torch.rand(1, 1))
    assert attention_picture(torch.rand(1, 3, 8, 8), one, []).shape[1] == 120 + 116
