"""What a preset's name stands for, with our algorithm and with OpenCV's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DisvrParameters:
    """What a preset sets of DISVR, in the order of torch.ops.slt_fast.disvr.

    Args:
        finest_level: Pyramid level at which the flow is computed, 0 for full resolution.
        patch_stride: Distance between patches, in pixels of the level.
        descent_iterations: Gauss-Newton steps of a patch on each level.
        warps: Times that the second frame is warped by the flow found so far, on each level.
        fixed_points: Linearisations of the robust penalties in each warp.
        sweeps: Red-black sweeps of over-relaxation in each fixed point.
    """

    finest_level: int
    patch_stride: int
    descent_iterations: int
    warps: int
    fixed_points: int
    sweeps: int


@dataclass(frozen=True)
class DISParameters:
    """What a preset sets of OpenCV's dense inverse search, in the order of slt_fast.opencv_dis.

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


DISVR_PRESETS = {
    "fast": DisvrParameters(1, 4, 8, 2, 2, 5),
    "default": DisvrParameters(0, 4, 8, 3, 2, 5),
    "best": DisvrParameters(0, 3, 8, 5, 2, 5),
}
# What cv2 computes under these names.
OPENCV_PRESETS = {
    "opencv_ultrafast": DISParameters(2, 4, 12, 0),
    "opencv_fast": DISParameters(2, 4, 16, 5),
    "opencv_medium": DISParameters(1, 3, 25, 5),
}
# What comes closest to our presets with OpenCV's algorithm.
OPENCV_COUNTERPARTS = {
    "fast": DISParameters(1, 4, 16, 5),
    "default": DISParameters(0, 3, 25, 5),
    "best": DISParameters(0, 3, 25, 10),
}
# torchvision's networks of these names.
RAFT_PRESETS = ("raft_small", "raft_large")
PRESETS = (*DISVR_PRESETS, *OPENCV_PRESETS, *RAFT_PRESETS)
