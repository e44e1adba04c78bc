"""Pictures of what goes into the network."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from slt_fast.data.flow_image import flow_images


def frames_and_flow(
    frames: np.ndarray, *, num_columns: int = 8, bound: float = 8.0, preset: str = "default"
) -> np.ndarray:
    """A sheet of frames with their flow below, once as the network sees it and once as colours.

    Args:
        frames: uint8 [T, H, W, 3] RGB.
        num_columns: Frames shown, spread over the clip.
        bound: Motion that saturates the colours, pixels.
        preset: As for slt_fast.ops.optical_flow.

    Returns:
        uint8 [3 * H, num_columns * W, 3] RGB: frames, `uvm` images, `wheel` images.
    """
    shown = np.linspace(1, len(frames) - 1, num_columns).round().astype(int)
    packed = torch.from_numpy(np.ascontiguousarray(frames))
    rows = [np.concatenate(list(frames[shown]), axis=1)]
    for encoder in ("uvm", "wheel"):
        images = flow_images(
            packed, size=frames.shape[1:3], bound=bound, encoder=encoder, preset=preset
        )
        colours = (images[shown].movedim(1, -1) * 255).round().byte().numpy()
        rows.append(np.concatenate(list(colours), axis=1))
    return np.concatenate(rows)


def write_png(path: str, image: np.ndarray) -> None:
    """Writes an RGB image.

    Args:
        path: File to write.
        image: uint8 [H, W, 3] RGB.

    Raises:
        OSError: The file cannot be written.
    """
    if not cv2.imwrite(path, image[..., ::-1]):
        raise OSError(f"{path}: could not write the picture")
