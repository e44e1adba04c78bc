"""Draws what goes into the network."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from slt_fast.data.flow_images import encode_flow, resize_flow
from slt_fast.errors import UserError
from slt_fast.ops.optical_flow import optical_flow

# The label to the left of a row, and the encoder of its pictures; the first shows the frames.
_ROWS = (("frame", None), ("u, v, size", "uvm"), ("direction", "wheel"))
_GUTTER, _LINE, _GAP = 104, 20, 4
_PAPER = 225  # grey, so that pictures without motion, which are white, can be seen on it
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
ANIMATIONS = (".gif", ".webp")


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
    """Draws frames with their flow below, once as the network sees it and once as colours.

    A disc beside each row of flow shows the colours of all directions, up to the bound.

    Args:
        frames: uint8 [T, H, W, 3] RGB, T >= 2.
        title: Line above the pictures.
        num_columns: Frames shown, spread over the clip; fewer if the clip has fewer.
        height: Height of each picture in pixels.
        bound: Motion that saturates the colours, in pixels of the pictures (not of the frames).
        preset: Preset of slt_fast.ops.optical_flow.
        backend: Backend of slt_fast.ops.optical_flow.

    Returns:
        uint8 [*, *, 3] RGB.

    Raises:
        UserError: There is a single frame, a number is too small, or the flow refuses its input.
    """
    _check(frames=(len(frames), 2), columns=(num_columns, 1), height=(height, 32))
    num_columns = min(num_columns, len(frames) - 1)
    columns = [_gutter(height, bound)]
    for t in np.linspace(1, len(frames) - 1, num_columns).round().astype(int):
        flow = _flow(frames[t - 1 : t + 1], height, preset, backend)[0]
        columns.append(_column(str(t), frames[t], flow, bound))
    return _titled(title, columns)


def flow_animation(
    clips: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    height: int = 160,
    bound: float = 8.0,
    preset: str = "default",
    backend: str = "auto",
) -> list[np.ndarray]:
    """Draws clips beside each other with their flow below, as the pictures of an animation.

    Args:
        clips: uint8 [T, H, W, 3] RGB each, T >= 2; a shorter clip stops at its last frame.
        titles: Line above each clip.

    Other arguments and errors are those of flow_sheet.

    Returns:
        uint8 [*, *, 3] RGB, one for each frame of the longest clip but its first.
    """
    _check(height=(height, 32))
    for frames, title in zip(clips, titles, strict=True):
        _check(**{f"frames of {title}": (len(frames), 2)})
    flows = [_flow(frames, height, preset, backend) for frames in clips]
    pictures = []
    for t in range(max(map(len, flows))):
        columns = [_gutter(height, bound)]
        for frames, title, flow in zip(clips, titles, flows, strict=True):
            last = min(t, len(flow) - 1)
            columns.append(_column(title, frames[last + 1], flow[last], bound))
        pictures.append(np.concatenate(columns, axis=1))
    return pictures


def _check(**values: tuple[int, int]) -> None:
    for name, (value, minimum) in values.items():
        if value < minimum:
            raise UserError(f"{name}: found {value}; expected at least {minimum}")


def _flow(frames: np.ndarray, height: int, preset: str, backend: str) -> torch.Tensor:
    """Computes the flow of a clip in pixels of pictures of a height, [T - 1, 2, height, *]."""
    size = (height, max(1, round(height * frames.shape[2] / frames.shape[1])))
    flow = optical_flow(torch.from_numpy(frames.copy()), preset=preset, backend=backend)
    return resize_flow(flow, size)


def _column(heading: str, frame: np.ndarray, flow: torch.Tensor, bound: float) -> np.ndarray:
    """Draws a frame with its flow [2, h, w] below, once for each row's encoder."""
    H, W = flow.shape[1:]
    column = np.full((_LINE + len(_ROWS) * (H + _GAP), W + _GAP, 3), _PAPER, np.uint8)
    _write(column, heading, 0, 0)
    for row, (_, encoder) in enumerate(_ROWS):
        if encoder is None:
            picture = _resized(frame, (H, W))
        else:
            picture = _colours(flow.unsqueeze(0), encoder, bound)[0]
        _draw(column, picture, 0, _LINE + row * (H + _GAP))
    return column


def _gutter(height: int, bound: float) -> np.ndarray:
    """Draws the labels and legends to the left of the columns."""
    gutter = np.full((_LINE + len(_ROWS) * (height + _GAP), _GUTTER, 3), _PAPER, np.uint8)
    for row, (label, encoder) in enumerate(_ROWS):
        top = _LINE + row * (height + _GAP)
        _write(gutter, label, _GAP, top)
        if encoder is not None:
            _draw(gutter, _legend(encoder, bound, height - _LINE), _GAP, top + _LINE)
    return gutter


def _titled(title: str, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Puts columns beside each other and a title above them."""
    title_width = cv2.getTextSize(title, _FONT, _FONT_SCALE, 1)[0][0] + 2 * _GAP
    body = np.concatenate(columns, axis=1)
    margin = ((_LINE, 0), (0, max(0, title_width - body.shape[1])), (0, 0))
    sheet = np.pad(body, margin, constant_values=_PAPER)
    _write(sheet, title, _GAP, 0)
    return sheet


def page(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Puts sheets below each other, uint8 [*, *, 3] RGB."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((0, _GAP), (0, width - sheet.shape[1]), (0, 0)), constant_values=_PAPER)
        for sheet in sheets
    ]
    return np.concatenate(padded)


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an image, uint8 [H, W, 3] RGB; raises UserError if the file is no *.png."""
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: found suffix {path.suffix!r}; expected .png")
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def write_animation(path: Path, pictures: Sequence[np.ndarray], *, fps: float = 25.0) -> None:
    """Writes a loop of pictures, uint8 [H, W, 3] RGB, all of one size.

    Raises:
        UserError: The suffix of the file is none of ANIMATIONS.
    """
    if path.suffix.lower() not in ANIMATIONS:
        expected = " or ".join(ANIMATIONS)
        raise UserError(f"{path}: found suffix {path.suffix!r}; expected {expected}")
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    animation.durations = [round(1000 / fps)] * len(pictures)
    path.write_bytes(cv2.imencodeanimation(path.suffix, animation)[1].tobytes())


def _colours(flow: torch.Tensor, encoder: str, bound: float) -> np.ndarray:
    """Encodes flow [T, 2, H, W] as uint8 [T, H, W, 3] RGB."""
    images = encode_flow(flow, encoder=encoder, bound=bound)
    return (images.movedim(1, -1) * 255).round().byte().numpy()


def _legend(encoder: str, bound: float, height: int) -> np.ndarray:
    """Draws a disc whose pixels have the colours of motion from its centre to them."""
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
