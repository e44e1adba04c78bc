"""Pictures of what goes into the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from slt_fast.data.flow_images import encode_flow, resize_flow
from slt_fast.errors import UserError
from slt_fast.ops.optical_flow import optical_flow

# What stands to the left of a row, and the encoder of its pictures; the first shows the frames.
_ROWS = (("frame", None), ("u, v, size", "uvm"), ("direction", "wheel"))
_GUTTER, _LINE, _GAP = 104, 20, 4
_PAPER = 225  # grey, so that pictures stand out in which nothing moves: they are white
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def flow_sheet(
    frames: np.ndarray,
    title: str,
    *,
    num_columns: int = 6,
    height: int = 160,
    bound: float = 8.0,
    preset: str = "default",
    backend: str = "auto",
) -> np.ndarray:
    """A sheet of frames with their flow below, once as the network sees it and once as colours.

    A disc beside each row of flow shows the colours of all directions, up to the bound.

    Args:
        frames: uint8 [T, H, W, 3] RGB, T >= 2.
        title: Line above the pictures.
        num_columns: Frames shown, spread over the clip; fewer where it has fewer.
        height: Height of each picture in pixels.
        bound: Motion that saturates the colours, in pixels of the pictures (not of the frames).
        preset: As for slt_fast.ops.optical_flow.
        backend: As for slt_fast.ops.optical_flow.

    Returns:
        uint8 [*, *, 3] RGB.

    Raises:
        ValueError: A single frame, no columns, no height, or frames or a bound that the flow
            refuses.
    """
    for name, value, minimum in (
        ("frames", len(frames), 2),
        ("columns", num_columns, 1),
        ("height", height, 32),
    ):
        if value < minimum:
            raise UserError(f"{name}: found {value}; expected at least {minimum}")
    num_columns = min(num_columns, len(frames) - 1)
    shown = np.linspace(1, len(frames) - 1, num_columns).round().astype(int)
    size = (height, max(1, round(height * frames.shape[2] / frames.shape[1])))
    pairs = [torch.from_numpy(frames[t - 1 : t + 1].copy()) for t in shown]
    flow = torch.cat(
        [resize_flow(optical_flow(pair, preset=preset, backend=backend), size) for pair in pairs]
    )
    sheet = _empty_sheet(title, [str(t) for t in shown], size)
    for row, (label, encoder) in enumerate(_ROWS):
        top = 2 * _LINE + row * (height + _GAP)
        _write(sheet, label, _GAP, top)
        if encoder is None:
            pictures = np.stack([_resized(frames[t], size) for t in shown])
        else:
            pictures = _colours(flow, encoder, bound)
            _draw(sheet, _legend(encoder, bound, height - _LINE), _GAP, top + _LINE)
        for column, picture in enumerate(pictures):
            _draw(sheet, picture, _GUTTER + column * (size[1] + _GAP), top)
    return sheet


def _empty_sheet(title: str, headings: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Paper for rows of pictures of a size, with the title and what stands above the columns."""
    height, step = 2 * _LINE + len(_ROWS) * (size[0] + _GAP), size[1] + _GAP
    title_width = cv2.getTextSize(title, _FONT, _FONT_SCALE, 1)[0][0] + 2 * _GAP
    width = max(_GUTTER + len(headings) * step, title_width)
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    _write(sheet, title, _GAP, 0)
    for column, heading in enumerate(headings):
        _write(sheet, heading, _GUTTER + column * step, _LINE)
    return sheet


def page(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Sheets below each other, uint8 [*, *, 3] RGB."""
    width = max(sheet.shape[1] for sheet in sheets)
    margins = [((0, _GAP), (0, width - sheet.shape[1]), (0, 0)) for sheet in sheets]
    return np.concatenate(
        [
            np.pad(sheet, margin, constant_values=_PAPER)
            for sheet, margin in zip(sheets, margins, strict=True)
        ]
    )


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an RGB image.

    Args:
        path: File to write, *.png.
        image: uint8 [H, W, 3] RGB.

    Raises:
        ValueError: Another suffix.
        OSError: The file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: found suffix {path.suffix!r}; expected .png")
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _colours(flow: torch.Tensor, encoder: str, bound: float) -> np.ndarray:
    """Flow [T, 2, H, W] as uint8 [T, H, W, 3] RGB."""
    images = encode_flow(flow, encoder=encoder, bound=bound)
    return (images.movedim(1, -1) * 255).round().byte().numpy()


def _legend(encoder: str, bound: float, height: int) -> np.ndarray:
    """A disc whose pixels have the colours of motion from its centre to them."""
    line = torch.linspace(-1, 1, min(height, _GUTTER) - 4 * _GAP)
    y, x = torch.meshgrid(line, line, indexing="ij")
    disc = _colours(bound * torch.stack([x, y]).unsqueeze(0), encoder, bound)[0]
    disc[(torch.hypot(x, y) > 1).numpy()] = _PAPER
    return disc


def _resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] < frame.shape[0]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(frame, (size[1], size[0]), interpolation=interpolation)


def _draw(sheet: np.ndarray, picture: np.ndarray, left: int, top: int) -> None:
    sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def _write(sheet: np.ndarray, text: str, left: int, top: int) -> None:
    """Writes a line of text of height _LINE."""
    place = (left, top + _LINE - 6)
    cv2.putText(sheet, text, place, _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
