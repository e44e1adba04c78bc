"""RGB frames to grey frames."""

import torch

from slt_fast.ops.backend import check_tensors
from slt_fast.ops.extension import EXTENSION, cuda_refusal


def rgb_to_grey(frames: torch.Tensor) -> torch.Tensor:
    """Converts RGB frames to grey, equal to cv2.cvtColor to the bit.

    Args:
        frames: [T, H, W, 3] uint8 RGB, any strides.

    Returns:
        [T, H, W] uint8.
    """
    check_tensors("rgb_to_grey", {"frames": frames})
    has_kernel = frames.is_cuda and cuda_refusal(frames.device) is None
    if has_kernel or (frames.is_cpu and EXTENSION is not None):
        return torch.ops.slt_fast.rgb_to_grey(frames)
    return rgb_to_grey_reference(frames)


def rgb_to_grey_reference(frames: torch.Tensor) -> torch.Tensor:
    """Computes rgb_to_grey in plain PyTorch: ITU-R BT.601 luma in OpenCV's 15-bit fixed point."""
    red, green, blue = frames.int().unbind(-1)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).to(torch.uint8)
