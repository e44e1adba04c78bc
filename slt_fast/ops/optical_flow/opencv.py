"""The flow by OpenCV itself (modules/video/src/dis_flow.cpp): the backend "opencv".

OpenCV is imported only when flow is computed, so that the other operators need nothing but torch.
"""

from __future__ import annotations

import math

import torch

from slt_fast.ops.optical_flow.presets import OPENCV_PRESETS, DISParameters

PATCH_SIZE = 8
# Below it OpenCV finds no level to start from: see _coarsest_scale.
MINIMUM_LONGER_SIDE = 12


def opencv_flow(frames: torch.Tensor, preset: str, parameters: DISParameters) -> torch.Tensor:
    """Computes the flow of grey frames [T, H, W] on the CPU: [T-1, 2, H, W].

    Raises:
        ValueError: Frames of a size that OpenCV cannot take.
    """
    H, W = frames.shape[1:]
    if max(H, W) < MINIMUM_LONGER_SIDE:
        raise ValueError(
            f"optical_flow: found frames of {H}x{W} pixels; expected one side of at least "
            f"{MINIMUM_LONGER_SIDE} for OpenCV's flow"
        )
    finest_scale = parameters.finest_scale
    if preset in OPENCV_PRESETS:
        _check_scales(parameters, H, W)
    else:
        finest_scale = min(finest_scale, _coarsest_scale(H, W))
    return _dis_flow(frames, parameters, finest_scale)


def _dis_flow(frames: torch.Tensor, parameters: DISParameters, finest_scale: int) -> torch.Tensor:
    import cv2

    T, H, W = frames.shape
    flow = torch.empty(T - 1, 2, H, W)
    # A fresh object a clip costs microseconds; a kept one is not safe to share between threads.
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setPatchStride(parameters.patch_stride)
    dis.setGradientDescentIterations(parameters.descent_iterations)
    dis.setVariationalRefinementIterations(parameters.refinement_iterations)
    for t in range(T - 1):
        # On small frames calc() overwrites the scale, and the next pair would come out otherwise.
        dis.setFinestScale(finest_scale)
        # None: a flow handed in would be searched as a candidate, a stale one too.
        pair = dis.calc(frames[t].numpy(), frames[t + 1].numpy(), None)
        flow[t] = torch.from_numpy(pair).permute(2, 0, 1)
    return flow


def _coarsest_scale(H: int, W: int) -> int:
    """OpenCV's first level: there a quarter of the longer side is a patch, and one patch fits."""
    quarter = int(math.log2(max(H, W) / (4 * PATCH_SIZE)) + 0.5)
    return min(quarter, int(math.log2(min(H, W) / PATCH_SIZE)))


def _check_scales(parameters: DISParameters, H: int, W: int) -> None:
    """Refuses what crashes cv2: on small frames it picks its first level by the width alone."""
    if _coarsest_scale(H, W) >= parameters.finest_scale:
        return
    level = int(math.log2(max(W / (2.5 * PATCH_SIZE), 1.0)))
    if H >> level < PATCH_SIZE:
        raise ValueError(
            f"optical_flow: found frames of {H}x{W}, of which OpenCV's preset would search level "
            f"{level}; expected H >= {PATCH_SIZE << level}, backend 'cpu' or one of our presets"
        )
