"""Draws where a model looks: its attention over the frames, and words against frames."""

from collections.abc import Sequence

import numpy as np
import torch

from slt_fast.inference.attention import ClipAttention
from slt_fast.visualize.drawing import (
    GAP,
    LINE,
    beside,
    check_sizes,
    fitted,
    heat,
    overlay,
    page,
    paper,
    text_width,
    titled,
    write,
)

_LABELS = ("frame", "one place looks at", "all places look at")
_SHORTEST, _WIDEST = 200, 220  # pixels of the lines of words, and of the labels before them
_MARK, _RED = (0, 255, 255), (200, 0, 0)


def attention_sheet(
    frames: np.ndarray | Sequence[np.ndarray],
    attention: ClipAttention,
    words: Sequence[str],
    *,
    title: str = "",
    num_columns: int = 8,
    height: int = 112,
) -> np.ndarray:
    """Draws frames, the attention over them, and below it which frames each word looks at.

    In each row the brightest spot is where the model looks most; beside it is written how many
    times the attention of that spot is the uniform one. The mark is on the place that looks in the
    row "one place looks at".

    Args:
        frames: uint8 [T, H, W, 3] RGB: the video, or what the network sees of it.
        attention: Where the model looks in them, for each word and the end of the text.
        words: The words.
        title: Line above the pictures.
        num_columns: Frames shown, spread over the clip; fewer if the clip has fewer.
        height: Height of each frame in pixels.

    Returns:
        uint8 [*, *, 3] RGB.

    Raises:
        UserError: A number is too small.
    """
    check_sizes(columns=(num_columns, 1), height=(height, 32))
    T = len(frames)
    columns = []
    for t in np.linspace(0, T - 1, min(num_columns, T)).round().astype(int):
        pictures = _pictures(frames[t], attention, t, height)
        columns.append(page([_line(str(t), pictures[0].shape[1]), *pictures]))
    body = beside(columns)
    notes = ["", *_picture_notes(attention)]
    width = _gutter_width([*_LABELS, *notes, *_word_labels(words)])
    lines = _WordLines(attention, words, width, body.shape[1] - GAP)
    named = zip(_LABELS, notes, strict=True)
    gutter = page([_line("", width), *(_row_label(*each, (height, width)) for each in named)])
    body = np.concatenate([gutter, body], axis=1)
    return titled([title, *attention.describe()], page([body, lines.picture()]))


def attention_animation(
    frames: np.ndarray | Sequence[np.ndarray],
    attention: ClipAttention,
    words: Sequence[str],
    *,
    title: str = "",
    height: int = 240,
) -> list[np.ndarray]:
    """Draws each frame, the attention over it and what is said, as the pictures of an animation.

    A line through the words is at the frame that is shown. The red word looks at this frame more
    than the other words do. Brightness and notes are as in a sheet, over the whole clip.

    Arguments and errors are those of attention_sheet.

    Returns:
        uint8 [*, *, 3] RGB, one for each frame.
    """
    check_sizes(height=(height, 32))
    first = beside(_pictures(frames[0], attention, 0, height))
    gutter = _gutter_width(_word_labels(words))
    noted = _gutter_width(_notes(attention.frames))
    lines = _WordLines(attention, words, gutter, first.shape[1] - GAP - gutter - noted)
    top = titled([title, *attention.describe()], paper(0, first.shape[1]))
    noted_labels = [*zip(_LABELS[1:], _picture_notes(attention), strict=True)]
    pictures = []
    for t, frame in enumerate(frames):
        shown = _pictures(frame, attention, t, height)
        width, columns = shown[0].shape[1], [(f"{_LABELS[0]} {t}", ""), *noted_labels]
        above = beside([_row_label(*column, (2 * LINE, width)) for column in columns])
        said = _line(" ".join(words), first.shape[1])
        pictures.append(page([top, above, beside(shown), said, lines.picture(t)]))
    return pictures


class _WordLines:
    """Which frames each word looks at: a line for each, the word to the left, a note to the right.

    Args:
        attention: Where the model looks.
        words: The words; the end of the text is added.
        gutter: Width of the labels to the left.
        width: Width of the lines.
    """

    def __init__(
        self, attention: ClipAttention, words: Sequence[str], gutter: int, width: int
    ) -> None:
        self.attention, self.labels = attention, _word_labels(words)
        self.gutter, self.width = gutter, max(width, _SHORTEST)
        rows = [_scaled(row)[None] for row in attention.frames]
        self.lines = [heat(row, (LINE, self.width)) for row in rows]
        notes = _notes(attention.frames)
        self.notes = [_line(note, _gutter_width(notes)) for note in notes]

    def picture(self, t: int | None = None) -> np.ndarray:
        """Draws all lines; given a frame, with a mark there, and its word in red."""
        word = None if t is None else self.attention.word_at(t)
        labels = [
            _line(label, self.gutter, colour=_RED if number == word else (0, 0, 0))
            for number, label in enumerate(self.labels)
        ]
        rows = zip(labels, self.lines, self.notes, strict=True)
        picture = page([np.concatenate(row, axis=1) for row in rows])
        if t is not None:
            T = self.attention.frames.shape[1]
            left = self.gutter + int((t + 0.5) / T * self.width)
            picture[:, left : left + 2] = _MARK
        return picture


def _word_labels(words: Sequence[str]) -> list[str]:
    return [f"{number} {word}" for number, word in enumerate([*words, "(end)"], start=1)]


def _notes(rows: torch.Tensor) -> list[str]:
    """Says for rows of attention [R, N], which sum to 1, how far their maxima exceed 1 / N."""
    return [f"max {float(row.max()) * len(row):.1f}x uniform" for row in rows]


def _picture_notes(attention: ClipAttention) -> list[str]:
    """Notes for what one place and all places look at: the largest of all frames."""
    looks = (attention.query_positions, attention.positions)
    frames = [frame[frame.max(1).values.argmax()] for frame in (look.flatten(1) for look in looks)]
    return _notes(torch.stack(frames))


def _row_label(label: str, note: str, size: tuple[int, int]) -> np.ndarray:
    """Writes a label with a note below it on paper of a height and width."""
    height, width = size
    lines = [_line(label, width), _line(note, width), paper(max(0, height - 2 * LINE), width)]
    return np.concatenate(lines)[:height]


def _gutter_width(labels: Sequence[str]) -> int:
    return min(max(map(text_width, labels)) + 2 * GAP, _WIDEST)


def _pictures(frame: np.ndarray, attention: ClipAttention, t: int, height: int) -> list[np.ndarray]:
    """Draws a frame, what one place looks at, and what all places look at."""
    frame = fitted(frame, height)
    one = overlay(frame, _scaled(attention.query_positions)[t])
    every = overlay(frame, _scaled(attention.positions)[t])
    h, w = attention.positions.shape[1:]
    row, column = attention.queries[t].tolist()
    H, W = frame.shape[:2]
    cell = one[row * H // h : (row + 1) * H // h, column * W // w : (column + 1) * W // w]
    cell[:2] = cell[-2:] = cell[:, :2] = cell[:, -2:] = _MARK
    return [frame, one, every]


def _line(text: str, width: int, *, colour: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Writes a line of text on paper."""
    line = paper(LINE, width)
    write(line, text, GAP, 0, colour=colour)
    return line


def _scaled(values: torch.Tensor) -> np.ndarray:
    """Divides values of 0 or more by the largest."""
    return (values / values.max()).numpy()
