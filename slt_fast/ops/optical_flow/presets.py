"""The parameters of each preset, for our algorithm and for OpenCV's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DisvrParameters:
    """Parameters of DISVR, in the order of torch.ops.slt_fast.disvr.

    Args:
        finest_level: Pyramid level at which the flow is computed; 0 is full resolution.
        patch_stride: Distance between patches, in pixels of the level.
        descent_iterations: Gauss-Newton steps of a patch on each level.
        warps: How often each level warps the second frame by the current flow.
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
    """Parameters of cv2.DISOpticalFlow.

    Args:
        finest_scale: Pyramid level at which the flow is computed; 0 is full resolution.
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
# cv2's own presets ULTRAFAST, FAST and MEDIUM.
OPENCV_PRESETS = {
    "opencv_ultrafast": DISParameters(2, 4, 12, 0),
    "opencv_fast": DISParameters(2, 4, 16, 5),
    "opencv_medium": DISParameters(1, 3, 25, 5),
}
# The settings of OpenCV's algorithm that come closest to our presets.
OPENCV_COUNTERPARTS = {
    "fast": DISParameters(1, 4, 16, 5),
    "default": DISParameters(0, 3, 25, 5),
    "best": DISParameters(0, 3, 25, 10),
}
# torchvision's networks of these names.
RAFT_PRESETS = ("raft_small", "raft_large")
PRESETS = (*DISVR_PRESETS, *OPENCV_PRESETS, *RAFT_PRESETS)
