"""Pictures of what goes into the network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from slt_fast.data.flow_image import encode_flow
from slt_fast.ops.optical_flow import optical_flow


def frames_and_flow(
    frames: np.ndarray, *, num_columns: int = 8, bound: float = 8.0, preset: str = "default"
) -> np.ndarray:
    """A sheet of frames with their flow below, once as the network sees it and once as colours.

    Args:
        frames: uint8 [T, H, W, 3] RGB, T >= 2.
        num_columns: Frames shown, spread over the clip.
        bound: Motion that saturates the colours, pixels.
        preset: As for slt_fast.ops.optical_flow.

    Returns:
        uint8 [3 * H, num_columns * W, 3] RGB: frames, `uvm` images, `wheel` images.

    Raises:
        ValueError: A single frame, no columns, or frames or a bound that the flow refuses.
    """
    for name, value, minimum in (("frames", len(frames), 2), ("columns", num_columns, 1)):
        if value < minimum:
            raise ValueError(f"{name}: found {value}; expected at least {minimum}")
    shown = np.linspace(1, len(frames) - 1, num_columns).round().astype(int)
    pairs = [torch.from_numpy(frames[t - 1 : t + 1].copy()) for t in shown]
    flow = torch.cat([optical_flow(pair, preset=preset) for pair in pairs])
    rows = [np.concatenate(list(frames[shown]), axis=1)]
    for encoder in ("uvm", "wheel"):
        images = encode_flow(flow, encoder=encoder, bound=bound)
        colours = (images.movedim(1, -1) * 255).round().byte().numpy()
        rows.append(np.concatenate(list(colours), axis=1))
    return np.concatenate(rows)


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
        raise ValueError(f"{path}: found suffix {path.suffix!r}; expected .png")
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
