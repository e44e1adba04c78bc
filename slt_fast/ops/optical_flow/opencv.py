"""The backend "opencv": cv2.DISOpticalFlow on the CPU; cv2 is imported at the first call."""

import functools
import math
from dataclasses import asdict
from typing import Any

import torch

from slt_fast.errors import UserError
from slt_fast.ops.optical_flow.presets import OPENCV_COUNTERPARTS, OPENCV_PRESETS, DISParameters

PATCH_SIZE = 8
# On smaller frames OpenCV finds no level to start from: see _coarsest_scale.
MINIMUM_LONGER_SIDE = 12


@functools.cache
def opencv_refusal() -> str | None:
    """Returns why OpenCV cannot be used, or None if it can."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:  # includes missing window libraries of opencv-python
        return f"OpenCV cannot be imported ({error}): install opencv-python-headless"
    return None


def opencv_parameters(preset: str) -> dict[str, str | int]:
    """Returns what identifies the flow, for flow_parameters."""
    import cv2

    settings = asdict(_settings(preset))
    return {"algorithm": "opencv_dis", "version": cv2.__version__, "preset": preset, **settings}


def opencv_flow(frames: torch.Tensor, preset: str) -> torch.Tensor:
    """Computes the flow of grey frames [T, H, W] on the CPU: [T-1, 2, H, W].

    Raises:
        UserError: OpenCV cannot take frames of this size.
    """
    H, W = frames.shape[1:]
    if max(H, W) < MINIMUM_LONGER_SIDE:
        raise UserError(
            f"optical_flow: found frames of {H}x{W} pixels; expected one side of at least "
            f"{MINIMUM_LONGER_SIDE} for OpenCV's flow"
        )
    settings = _settings(preset)
    finest_scale = settings.finest_scale
    if preset in OPENCV_PRESETS:
        _check_scales(settings, H, W)
    else:
        finest_scale = min(finest_scale, _coarsest_scale(H, W))
    return _dis_flow(frames, settings, finest_scale)


def _settings(preset: str) -> DISParameters:
    return (OPENCV_PRESETS | OPENCV_COUNTERPARTS)[preset]


def _dis_flow(frames: torch.Tensor, settings: DISParameters, finest_scale: int) -> torch.Tensor:
    import cv2

    T, H, W = frames.shape
    flow = torch.empty(T - 1, 2, H, W)
    # A fresh object costs microseconds a clip; a kept one is not safe to share between threads.
    # Any, because OpenCV's type stubs do not allow None for the flow.
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setPatchStride(settings.patch_stride)
    dis.setGradientDescentIterations(settings.descent_iterations)
    dis.setVariationalRefinementIterations(settings.refinement_iterations)
    for t in range(T - 1):
        # On small frames calc() overwrites the scale, which would change the next pair's flow.
        dis.setFinestScale(finest_scale)
        # None, because OpenCV would search a given flow as a candidate.
        pair = dis.calc(frames[t].numpy(), frames[t + 1].numpy(), None)
        flow[t] = torch.from_numpy(pair).permute(2, 0, 1)
    return flow


def _coarsest_scale(H: int, W: int) -> int:
    """Returns OpenCV's first level: a quarter of its longer side is a patch, and one patch fits."""
    quarter = int(math.log2(max(H, W) / (4 * PATCH_SIZE)) + 0.5)
    return min(quarter, int(math.log2(min(H, W) / PATCH_SIZE)))


def _check_scales(settings: DISParameters, H: int, W: int) -> None:
    """Raises UserError for sizes that crash cv2: on small frames its first level ignores H."""
    if _coarsest_scale(H, W) >= settings.finest_scale:
        return
    level = int(math.log2(max(W / (2.5 * PATCH_SIZE), 1.0)))
    if H >> level < PATCH_SIZE:
        raise UserError(
            f"optical_flow: found frames of {H}x{W}, whose level {level} is too small for OpenCV's "
            f"presets; expected H >= {PATCH_SIZE << level}, or one of our presets"
        )
