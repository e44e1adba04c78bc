"""Pieces of pictures, uint8 [*, *, 3] RGB on grey paper: text, heat maps, rows and pages."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from slt_fast.errors import UserError, printable

GAP, LINE = 4, 20  # pixels between pictures, and the height of a line of text
PAPER = 225  # grey, so that pictures without motion, which are white, can be seen on it
_BASELINE, _LETTERS = 6, 13  # pixels from the bottom of a line, and the size of its letters

Colour = tuple[int, int, int]


def check_sizes(**values: tuple[int, int]) -> None:
    """Raises UserError for the first value that is below its minimum: name=(value, minimum)."""
    for name, (value, minimum) in values.items():
        if value < minimum:
            raise UserError(f"{name}: found {value}; expected at least {minimum}")


def paper(height: int, width: int) -> np.ndarray:
    """Returns empty paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def draw(sheet: np.ndarray, picture: np.ndarray, left: int, top: int) -> None:
    """Draws a picture into a sheet, which has room for it."""
    sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def write(sheet: np.ndarray, text: str, left: int, top: int, *, colour: Colour = (0, 0, 0)) -> None:
    """Writes a line of text of height LINE; what has no room to the right is cut off.

    OpenCV's letters are Latin, Greek, Cyrillic, Chinese and Japanese; others become "?".
    """
    place = (left, LINE - _BASELINE)
    line = np.ascontiguousarray(sheet[top : top + LINE])
    _, line = cv2.putText(line, printable(text), place, colour, _font(), _LETTERS)
    sheet[top : top + LINE] = line


def text_width(text: str) -> int:
    """Returns the width of a line of text in pixels."""
    box = cv2.getTextSize((0, 0), printable(text), (0, 0), _font(), _LETTERS, 0, 0, (0, 0))
    return box[0] + box[2]


def resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture to (height, width)."""
    smaller = size[0] < frame.shape[0]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(frame, (size[1], size[0]), interpolation=interpolation)


def fitted_size(frame: np.ndarray, height: int) -> tuple[int, int]:
    """Returns (height, width) that keep the proportions of a picture."""
    return height, max(1, round(height * frame.shape[1] / frame.shape[0]))


def fitted(frame: np.ndarray, height: int) -> np.ndarray:
    """Resizes a picture to a height, and keeps its proportions."""
    return resized(frame, fitted_size(frame, height))


def heat(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Colours numbers [h, w] in [0, 1], the larger the brighter, in blocks that fill a size."""
    grey = (values * 255).round().astype(np.uint8)
    grey = cv2.resize(grey, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1]


def overlay(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draws numbers [h, w] in [0, 1] as heat over a picture, which they cover as a grid."""
    return cv2.addWeighted(heat(values, picture.shape[:2]), 0.6, picture, 0.4, 0)


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Puts pictures of one height beside each other, with a gap to the right of each."""
    margin = ((0, 0), (0, GAP), (0, 0))
    return np.concatenate(
        [np.pad(each, margin, constant_values=PAPER) for each in pictures], axis=1
    )


def titled(lines: Sequence[str], body: np.ndarray) -> np.ndarray:
    """Writes lines above a picture, which is made as wide as they are."""
    wide = max(map(text_width, lines)) + 2 * GAP
    margin = ((LINE * len(lines), 0), (0, max(0, wide - body.shape[1])), (0, 0))
    sheet = np.pad(body, margin, constant_values=PAPER)
    for number, line in enumerate(lines):
        write(sheet, line, GAP, number * LINE)
    return sheet


def page(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Puts sheets below each other, uint8 [*, *, 3] RGB."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((0, GAP), (0, width - sheet.shape[1]), (0, 0)), constant_values=PAPER)
        for sheet in sheets
    ]
    return np.concatenate(padded)


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")
