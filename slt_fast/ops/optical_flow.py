"""Dense optical flow from each frame of a clip to the next: OpenCV's DIS behind our own contract.

Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, with the
variational refinement of OpenCV (modules/video/src/dis_flow.cpp). OpenCV is imported only when
flow is computed, so that the other operators need nothing but torch.
"""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import asdict, dataclass

import torch

from slt_fast.ops.extension import EXTENSION

PATCH_SIZE = 8
# Below these OpenCV finds no level to start from: see _coarsest_scale.
MINIMUM_SIDE, MINIMUM_LONGER_SIDE = 8, 12


@dataclass(frozen=True)
class DISParameters:
    """What a preset sets of OpenCV's dense inverse search.

    Args:
        finest_scale: Pyramid level at which the flow is computed, 0 for full resolution.
        patch_stride: Distance between patches, in pixels of the level.
        descent_iterations: Gradient descent steps of a patch on each level.
        refinement_iterations: Fixed points of the variational refinement on each level.
    """

    finest_scale: int
    patch_stride: int
    descent_iterations: int
    refinement_iterations: int


# Mean end-point error (4 Middlebury, 2 MPI-Sintel pairs at 224x224) and time on one CPU core.
PRESETS = {
    "fast": DISParameters(1, 4, 16, 5),  # 0.29, 0.55 pixels; 4 ms a pair
    "default": DISParameters(0, 3, 25, 5),  # 0.19, 0.41 pixels; 20 ms
    "best": DISParameters(0, 3, 25, 10),  # 0.19, 0.40 pixels; 26 ms
    "opencv_ultrafast": DISParameters(2, 4, 12, 0),
    "opencv_fast": DISParameters(2, 4, 16, 5),
    "opencv_medium": DISParameters(1, 3, 25, 5),
}

UNAVAILABLE_BACKENDS = {
    "cpu": "this version has no flow kernels of its own",
    "cuda": "this version has no flow kernels of its own",
    "raft": "this version runs no learned flow",
}


def optical_flow(
    frames: torch.Tensor, *, preset: str = "default", backend: str = "auto"
) -> torch.Tensor:
    """Computes the flow from each frame to the next; each pair alone, whatever the clip around it.

    Args:
        frames: [T, H, W] grey or [T, H, W, 3] RGB, uint8, T >= 2, sides of at least 8 and 12
            pixels. OpenCV works on the CPU: frames on another device are copied there and back.
        preset: "fast", "default" or "best"; "opencv_ultrafast", "opencv_fast" or "opencv_medium"
            give what cv2 computes under these names.
        backend: "auto" or "opencv".

    Returns:
        [T-1, 2, H, W] float32, (u, v) in pixels, on the device of the frames.

    Raises:
        ValueError: Frames of another shape, type or size, or a preset or backend that cannot run.
    """
    choose_flow_backend(backend)
    parameters = _preset_parameters(preset)
    _check_frames(frames)
    H, W = frames.shape[1:3]
    if preset.startswith("opencv_"):
        _check_scales_of_opencv(parameters, H, W)
        finest_scale = parameters.finest_scale
    else:
        finest_scale = min(parameters.finest_scale, _coarsest_scale(H, W))
    grey = rgb_to_grey(frames) if frames.ndim == 4 else frames
    flow = _dis_flow(grey.cpu().contiguous(), parameters, finest_scale)
    if not torch.isfinite(flow).all():
        raise ValueError(f"optical_flow: OpenCV's flow of frames of {H}x{W} is not finite")
    return flow.to(frames.device)


def flow_parameters(preset: str = "default", backend: str = "auto") -> dict[str, str | int]:
    """Tells what flow is computed; checkpoints and caches record it, to refuse any other.

    Args:
        preset: As for optical_flow.
        backend: As for optical_flow.

    Returns:
        The algorithm, its version, the preset and each parameter; ready for JSON.

    Raises:
        ValueError: A preset or backend that cannot run.
    """
    import cv2

    choose_flow_backend(backend)
    parameters = asdict(_preset_parameters(preset))
    version = cv2.__version__
    return {"algorithm": "opencv_dis", "version": version, "preset": preset, **parameters}


def choose_flow_backend(backend: str = "auto") -> tuple[str, str]:
    """Chooses what computes the flow.

    Args:
        backend: "auto", or the name of one that must run.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        ValueError: The named backend is unknown or cannot run; says why.
    """
    if backend in UNAVAILABLE_BACKENDS:
        reason = UNAVAILABLE_BACKENDS[backend]
        raise ValueError(f"optical_flow: backend {backend!r} cannot run: {reason}; use 'opencv'")
    if backend not in ("auto", "opencv"):
        names = ["auto", "opencv", *UNAVAILABLE_BACKENDS]
        raise ValueError(f"optical_flow: found backend {backend!r}; expected one of {names}")
    if backend == "opencv":
        return "opencv", "asked for"
    reason = "the only backend of this version"
    _log_choice("opencv", reason)
    return "opencv", reason


def rgb_to_grey(frames: torch.Tensor) -> torch.Tensor:
    """Turns RGB frames into grey ones, equal to cv2.cvtColor to the bit.

    Args:
        frames: [T, H, W, 3] uint8 RGB, any strides.

    Returns:
        [T, H, W] uint8.
    """
    if frames.is_cpu and EXTENSION is not None:
        return torch.ops.slt_fast.rgb_to_grey(frames)
    return rgb_to_grey_reference(frames)


def rgb_to_grey_reference(frames: torch.Tensor) -> torch.Tensor:
    """Plain PyTorch for rgb_to_grey: ITU-R BT.601 luma in OpenCV's 15-bit fixed point."""
    red, green, blue = frames.int().unbind(-1)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).to(torch.uint8)


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


def _check_scales_of_opencv(parameters: DISParameters, H: int, W: int) -> None:
    """Refuses what crashes cv2: on small frames it picks its first level by the width alone."""
    if _coarsest_scale(H, W) >= parameters.finest_scale:
        return
    level = int(math.log2(max(W / (2.5 * PATCH_SIZE), 1.0)))
    if H >> level < PATCH_SIZE:
        raise ValueError(
            f"optical_flow: found frames of {H}x{W}, of which OpenCV's preset would search level "
            f"{level}; expected H >= {PATCH_SIZE << level}, or one of our presets"
        )


def _preset_parameters(preset: str) -> DISParameters:
    if preset not in PRESETS:
        raise ValueError(f"optical_flow: found preset {preset!r}; expected one of {list(PRESETS)}")
    return PRESETS[preset]


def _check_frames(frames: torch.Tensor) -> None:
    shape = list(frames.shape)
    if frames.dtype != torch.uint8:
        raise ValueError(f"optical_flow: found frames of {frames.dtype}; expected torch.uint8")
    if frames.ndim not in (3, 4) or (frames.ndim == 4 and shape[3] != 3):
        raise ValueError(
            f"optical_flow: found frames of shape {shape}; expected [T, H, W] or [T, H, W, 3]"
        )
    if shape[0] < 2:
        raise ValueError(f"optical_flow: found {shape[0]} frames; expected at least 2")
    if min(shape[1:3]) < MINIMUM_SIDE or max(shape[1:3]) < MINIMUM_LONGER_SIDE:
        raise ValueError(
            f"optical_flow: found frames of {shape[1]}x{shape[2]} pixels; expected sides of at "
            f"least {MINIMUM_SIDE} and {MINIMUM_LONGER_SIDE}"
        )


@functools.cache
def _log_choice(backend: str, reason: str) -> None:
    logging.getLogger(__name__).info("optical_flow: backend %s (%s)", backend, reason)
