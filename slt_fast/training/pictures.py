"""Draws where a model looks: a strip of frames with its attention, and words against frames."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from slt_fast.inference.attention import ClipAttention

_SIDE, _LINE, _GAP, _GUTTER = 112, 18, 4, 120
_PAPER = 225


def attention_picture(
    images: torch.Tensor, attention: ClipAttention, words: Sequence[str], *, num_columns: int = 8
) -> np.ndarray:
    """Draws frames, the attention within them, and below it which frames each word looks at.

    Args:
        images: What the network sees, [T, 3, H, W] in [0, 1].
        attention: Where it looks in them, for each word and the end of the text.
        words: The words.
        num_columns: Frames shown, spread over the clip; fewer if the clip has fewer.

    Returns:
        uint8 [*, *, 3] RGB. In each row the brightest spot is where it looks most. Words are
        numbered, as only letters of ASCII are drawn.
    """
    T = len(images)
    shown = np.linspace(0, T - 1, min(num_columns, T)).round().astype(int)
    width = len(shown) * (_SIDE + _GAP)
    seen = [_resized(images[t].float().cpu().movedim(0, -1).numpy() * 255) for t in shown]
    heat = attention.positions
    looks = [_heat(heat[t].numpy() / float(heat.max())) for t in shown]
    mixed = [
        cv2.addWeighted(look, 0.6, frame, 0.4, 0) for look, frame in zip(looks, seen, strict=True)
    ]
    headings = [str(t) for t in shown]
    rows = [_row("frame", seen, headings), _row("looks at", mixed)]
    labels = [f"{number} {word}" for number, word in enumerate([*words, "(end)"], start=1)]
    for label, weights in zip(labels, attention.frames, strict=True):
        line = _heat(weights.numpy()[None] / float(weights.max()), (width - _GAP, _LINE))
        rows.append(_labelled(label, line))
    return np.concatenate(rows)


def _row(label: str, pictures: Sequence[np.ndarray], headings: Sequence[str] = ()) -> np.ndarray:
    """Puts pictures beside each other, below their headings if they have some."""
    apart = [np.pad(each, ((0, 0), (0, _GAP), (0, 0)), constant_values=_PAPER) for each in pictures]
    row = _labelled(label, np.concatenate(apart, axis=1)[:, :-_GAP])
    if not headings:
        return row
    line = np.full((_LINE, row.shape[1], 3), _PAPER, np.uint8)
    for column, heading in enumerate(headings):
        _write(line, heading, _GUTTER + column * (_SIDE + _GAP))
    return np.concatenate([line, row])


def _labelled(label: str, picture: np.ndarray) -> np.ndarray:
    """Puts a label to the left of a picture, and a gap below and to the right."""
    gutter = np.full((len(picture), _GUTTER, 3), _PAPER, np.uint8)
    _write(gutter, label, _GAP)
    row = np.concatenate([gutter, picture], axis=1)
    return np.pad(row, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=_PAPER)


def _write(image: np.ndarray, text: str, left: int) -> None:
    # OpenCV's letters are those of ASCII: accents are dropped, and other scripts.
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    cv2.putText(image, plain, (left, _LINE - 5), font, size, (0, 0, 0), 1, cv2.LINE_AA)


def _heat(values: np.ndarray, size: tuple[int, int] = (_SIDE, _SIDE)) -> np.ndarray:
    """Colours numbers [h, w] in [0, 1], in blocks that fill (width, height)."""
    grey = cv2.resize((values * 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1]


def _resized(picture: np.ndarray) -> np.ndarray:
    picture = picture.clip(0, 255).astype(np.uint8)
    return cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
