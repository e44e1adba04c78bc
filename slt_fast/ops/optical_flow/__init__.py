"""Dense optical flow of a clip: from each frame to the next."""

from slt_fast.ops.optical_flow.backends import GPU_BACKENDS, choose_flow_backend
from slt_fast.ops.optical_flow.grey import rgb_to_grey
from slt_fast.ops.optical_flow.operator import flow_parameters, optical_flow
from slt_fast.ops.optical_flow.presets import PRESETS

__all__ = [
    "GPU_BACKENDS",
    "PRESETS",
    "choose_flow_backend",
    "flow_parameters",
    "optical_flow",
    "rgb_to_grey",
]
