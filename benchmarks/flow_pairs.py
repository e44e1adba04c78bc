"""Pairs of frames with true flow, and the protocol for comparing errors of flow.

OpenCV reads frames as grey and resizes them by INTER_AREA. The true flow is resized by
INTER_NEAREST, and its components are scaled by the ratio of the sizes. Pixels with unknown flow
(Middlebury: beyond 1e9, Sintel: marked invalid) do not count in the mean end-point error.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from slt_fast.data.flow_file import read_flow

PAIRS = [f"middlebury/{name}" for name in ("RubberWhale", "Dimetrodon", "Venus", "Grove3")]
PAIRS += ["sintel/easy", "sintel/medium"]


class FlowPair(NamedTuple):
    """Two frames and the motion from the first to the second."""

    frames: np.ndarray  # grey, uint8 [2, H, W]
    flow: np.ndarray  # [2, H, W], (u, v) in pixels
    known: np.ndarray  # [H, W] bool, True = the flow is known

    def end_point_error(self, flow: np.ndarray) -> float:
        """Computes a flow's mean error in pixels over the positions whose true flow is known."""
        return float(np.linalg.norm(flow - self.flow, axis=0)[self.known].mean())


def load_pair(folder: Path, size: tuple[int, int] | None = None) -> FlowPair:
    """Reads the folder of one of PAIRS, and resizes to a width and height in pixels if given."""
    if folder.parent.name == "middlebury":
        names, flow_name = ("frame10.png", "frame11.png"), "flow10.flo"
    else:
        names, flow_name = ("final_frame_0002.png", "final_frame_0003.png"), "flow_0002.flo"
    frames = np.stack([_grey(folder / name) for name in names])
    flow = read_flow(folder / flow_name)
    known = (np.abs(flow) < 1e9).all(axis=0)
    if folder.parent.name == "sintel":
        known &= _grey(folder / "invalid_0002.png") == 0
    if size is None:
        return FlowPair(frames, flow, known)
    ratios = np.divide(size, known.shape[::-1], dtype=np.float32)
    return FlowPair(
        _resized(frames, size, cv2.INTER_AREA),
        _resized(flow, size, cv2.INTER_NEAREST) * ratios[:, None, None],
        _resized(known[None].astype(np.uint8), size, cv2.INTER_NEAREST)[0] > 0,
    )


def _grey(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def _resized(images: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    return np.stack([cv2.resize(image, size, interpolation=interpolation) for image in images])
