"""Pairs of frames with true flow, and the protocol for comparing errors of flow.

OpenCV reads frames as grey and resizes them by INTER_AREA. The true flow is resized by
INTER_NEAREST, and its components are scaled by the ratio of the sizes. Pixels with unknown flow
(Middlebury: beyond 1e9, Sintel: marked invalid) do not count in the mean end-point error.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from slt_fast.data.flow_file import read_flow

PAIRS = (
    "middlebury/RubberWhale",
    "middlebury/Dimetrodon",
    "middlebury/Venus",
    "middlebury/Grove3",
    "sintel/easy",
    "sintel/medium",
)


class FlowPair(NamedTuple):
    """Two frames and the motion from the first to the second.

    Args:
        frames: Grey, uint8 [2, H, W].
        flow: [2, H, W], (u, v) in pixels.
        known: [H, W] bool, True = the flow is known.
    """

    frames: np.ndarray
    flow: np.ndarray
    known: np.ndarray

    def end_point_error(self, flow: np.ndarray) -> float:
        """Computes a flow's mean error in pixels over the positions whose true flow is known."""
        return float(np.linalg.norm(flow - self.flow, axis=0)[self.known].mean())


def load_pair(folder: Path, size: tuple[int, int] | None = None) -> FlowPair:
    """Reads one of PAIRS.

    Args:
        folder: Its folder.
        size: Width and height in pixels to resize to; None for the pair's own.
    """
    if folder.parent.name == "middlebury":
        names, flow_name = ("frame10.png", "frame11.png"), "flow10.flo"
    else:
        names, flow_name = ("final_frame_0002.png", "final_frame_0003.png"), "flow_0002.flo"
    frames = np.stack([cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in names])
    flow = read_flow(folder / flow_name)
    known = (np.abs(flow) < 1e9).all(axis=0)
    if folder.parent.name == "sintel":
        known &= cv2.imread(str(folder / "invalid_0002.png"), cv2.IMREAD_GRAYSCALE) == 0
    pair = FlowPair(frames, flow, known)
    return pair if size is None else _resized(pair, size)


def _resized(pair: FlowPair, size: tuple[int, int]) -> FlowPair:
    H, W = pair.known.shape
    ratios = size[0] / W, size[1] / H
    return FlowPair(
        np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pair.frames]),
        np.stack(
            [
                cv2.resize(component, size, interpolation=cv2.INTER_NEAREST) * ratio
                for component, ratio in zip(pair.flow, ratios, strict=True)
            ]
        ),
        cv2.resize(pair.known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0,
    )
