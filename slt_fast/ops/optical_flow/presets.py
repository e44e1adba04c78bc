"""The parameters of each preset, for our algorithm and for OpenCV's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DisvrParameters:
    """Parameters of DISVR, in the order of torch.ops.slt_fast.disvr."""

    finest_level: int  # pyramid level at which the flow is computed; 0 is full resolution
    patch_stride: int  # distance between patches, in pixels of the level
    descent_iterations: int  # Gauss-Newton steps of a patch on each level
    warps: int  # how often each level warps the second frame by the current flow
    fixed_points: int  # linearisations of the robust penalties in each warp
    sweeps: int  # red-black sweeps of over-relaxation in each fixed point


@dataclass(frozen=True)
class DISParameters:
    """Parameters of cv2.DISOpticalFlow."""

    finest_scale: int  # pyramid level at which the flow is computed; 0 is full resolution
    patch_stride: int  # distance between patches, in pixels of the level
    descent_iterations: int  # gradient descent steps of a patch on each level
    refinement_iterations: int  # fixed points of the variational refinement on each level


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
