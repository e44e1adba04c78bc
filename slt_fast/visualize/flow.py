"""Draws clips with their optical flow."""

from collections.abc import Sequence

import numpy as np
import torch

from slt_fast.data.flow_images import encode_flow, resize_flow
from slt_fast.ops.optical_flow import optical_flow
from slt_fast.visualize.drawing import (
    GAP,
    LINE,
    PAPER,
    check_sizes,
    draw,
    fitted_size,
    paper,
    resized,
    titled,
    write,
)

# The label to the left of a row, and the encoder of its pictures; the first shows the frames.
_ROWS = (("frame", None), ("u, v, size", "uvm"), ("direction", "wheel"))
_GUTTER = 104


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
    check_sizes(frames=(len(frames), 2), columns=(num_columns, 1), height=(height, 32))
    num_columns = min(num_columns, len(frames) - 1)
    columns = [_gutter(height, bound)]
    for t in np.linspace(1, len(frames) - 1, num_columns).round().astype(int):
        flow = _flow(frames[t - 1 : t + 1], height, preset, backend)[0]
        columns.append(_column(str(t), frames[t], flow, bound))
    return titled([title], np.concatenate(columns, axis=1))


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
    check_sizes(height=(height, 32))
    for frames, title in zip(clips, titles, strict=True):
        check_sizes(**{f"frames of {title}": (len(frames), 2)})
    flows = [_flow(frames, height, preset, backend) for frames in clips]
    pictures = []
    for t in range(max(map(len, flows))):
        columns = [_gutter(height, bound)]
        for frames, title, flow in zip(clips, titles, flows, strict=True):
            last = min(t, len(flow) - 1)
            columns.append(_column(title, frames[last + 1], flow[last], bound))
        pictures.append(np.concatenate(columns, axis=1))
    return pictures


def _flow(frames: np.ndarray, height: int, preset: str, backend: str) -> torch.Tensor:
    """Computes the flow of a clip in pixels of pictures of a height, [T - 1, 2, height, *]."""
    flow = optical_flow(torch.from_numpy(frames.copy()), preset=preset, backend=backend)
    return resize_flow(flow, fitted_size(frames[0], height))


def _column(heading: str, frame: np.ndarray, flow: torch.Tensor, bound: float) -> np.ndarray:
    """Draws a frame with its flow [2, h, w] below, once for each row's encoder."""
    H, W = flow.shape[1:]
    column = paper(LINE + len(_ROWS) * (H + GAP), W + GAP)
    write(column, heading, 0, 0)
    for row, (_, encoder) in enumerate(_ROWS):
        if encoder is None:
            picture = resized(frame, (H, W))
        else:
            picture = _colours(flow.unsqueeze(0), encoder, bound)[0]
        draw(column, picture, 0, LINE + row * (H + GAP))
    return column


def _gutter(height: int, bound: float) -> np.ndarray:
    """Draws the labels and legends to the left of the columns."""
    gutter = paper(LINE + len(_ROWS) * (height + GAP), _GUTTER)
    for row, (label, encoder) in enumerate(_ROWS):
        top = LINE + row * (height + GAP)
        write(gutter, label, GAP, top)
        if encoder is not None:
            draw(gutter, _legend(encoder, bound, height - LINE), GAP, top + LINE)
    return gutter


def _colours(flow: torch.Tensor, encoder: str, bound: float) -> np.ndarray:
    """Encodes flow [T, 2, H, W] as uint8 [T, H, W, 3] RGB."""
    images = encode_flow(flow, encoder=encoder, bound=bound)
    return (images.movedim(1, -1) * 255).round().byte().numpy()


def _legend(encoder: str, bound: float, height: int) -> np.ndarray:
    """Draws a disc whose pixels have the colours of motion from its centre to them."""
    line = torch.linspace(-1, 1, min(height, _GUTTER) - 4 * GAP)
    y, x = torch.meshgrid(line, line, indexing="ij")
    disc = _colours(bound * torch.stack([x, y]).unsqueeze(0), encoder, bound)[0]
    disc[(torch.hypot(x, y) > 1).numpy()] = PAPER
    return disc
