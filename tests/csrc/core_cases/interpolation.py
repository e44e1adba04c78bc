"""Of grey.h and interpolation.h."""

import cv2
import numpy as np

from tests.csrc.core_cases.case import (
    ADVERSARIAL,
    Case,
    Columns,
    bounded,
    every,
    of_magnitudes,
    random,
)


def luma(*channels: np.ndarray) -> Columns:
    image = np.stack(channels, axis=-1).astype(np.uint8)[None]
    return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[0],)


def corner(y: np.ndarray, x: np.ndarray) -> Columns:
    row, column = np.floor(y), np.floor(x)
    down, right = y - row, x - column
    weights = (1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right
    return row, column, *weights


def bilinear(top_left, top_right, bottom_left, bottom_right, right, down) -> Columns:
    top = (1 - right) * top_left + right * top_right
    return ((1 - down) * top + down * ((1 - right) * bottom_left + right * bottom_right),)


def weighted_sum(*columns: np.ndarray) -> Columns:
    return (sum(weight * value for weight, value in zip(columns[:4], columns[4:], strict=True)),)


def position_on_coarser(pixel, scale, length) -> Columns:
    return (bounded((pixel + 0.5) / scale - 0.5, 0, length - 1),)


def sobel(before0, after0, before1, after1, before2, after2) -> Columns:
    return ((after0 + 2 * after1 + after2 - before0 - 2 * before1 - before2) / 8,)


GREY_LEVELS = [0, 1, 127, 128, 254, 255]
CASES = {
    "grey": Case(every(*[list(range(0, 256, 15))] * 3), luma, 0),
    "clamped": Case(
        every(ADVERSARIAL, [-7, 0], [0, 5, 219]), lambda *columns: (bounded(*columns),), 0
    ),
    "corner_of": Case(np.round(random(4, 2000) * 256) / 256 + np.float32([-4, 1992]), corner, 0),
    "weighted": Case(
        random(1, 1, 1, 1, 255, 255, 255, 255), weighted_sum, 1e-6, of_magnitudes(weighted_sum)
    ),
    "between": Case(
        np.concatenate(
            [np.abs(random(255, 255, 255, 255, 1, 1)), every(*[[0, 255]] * 4, [0, 1], [0, 1])]
        ),
        bilinear,
        1e-6,
        lambda *_: (np.float64(255),),
    ),
    "position_on_coarser": Case(
        every([0, 1, 2, 3, 7, 100, 101, 4097, 32766], [2, 4, 8, 2**17], [1, 8, 50, 16383]),
        position_on_coarser,
        0,
    ),
    "halved": Case(every(*[GREY_LEVELS] * 4), lambda *pixels: (sum(pixels) / 4,), 0),
    "sobel": Case(np.round(random(*[255] * 6)), sobel, 0),
    "compared": Case(every(GREY_LEVELS, GREY_LEVELS), lambda a, b: ((a + b) / 2, b - a), 0),
    "central": Case(every(GREY_LEVELS, GREY_LEVELS), lambda a, b: ((b - a) / 2,), 0),
}
