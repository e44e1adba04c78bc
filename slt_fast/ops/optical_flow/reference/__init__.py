"""DISVR in plain PyTorch, stage by stage and equation by equation: slow, to check the others.

On each level of a pyramid, from the coarsest to the finest: patches of 8x8 pixels search their
motion (patches.py), the motions become a flow, the flow is refined (refinement.py) and enlarged for
the next level. Sources: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016;
Brox et al., "High Accuracy Optical Flow Estimation Based on a Theory for Warping", ECCV 2004.

Shapes, with P pairs of frames on a level of H x W pixels: images are [P, H, W], flows [P, 2, H, W],
(u, v) in pixels of the level. Every function takes any device and floating dtype.
"""

import math

import torch

from slt_fast.ops.optical_flow.presets import DisvrParameters
from slt_fast.ops.optical_flow.reference.images import pixels, sampled
from slt_fast.ops.optical_flow.reference.patches import PATCH_SIZE, densify, search
from slt_fast.ops.optical_flow.reference.refinement import refine

# Pixels of the pairs computed together: a search holds several values for each pixel of each patch,
# so whole clips would fill the memory.
PIXELS_AT_ONCE = 1 << 19


def disvr_reference(
    frames: torch.Tensor, parameters: DisvrParameters, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Computes the flow from each frame to the next.

    Args:
        frames: [T, H, W] uint8, grey, T >= 2, sides of at least 8 pixels, on any device.
        parameters: Parameters of a preset.
        dtype: Type of all arithmetic and of the flow.

    Returns:
        [T-1, 2, H, W], (u, v) in pixels.
    """
    T, H, W = frames.shape
    pairs = max(1, PIXELS_AT_ONCE // (H * W))
    clips = [frames[t : t + pairs + 1] for t in range(0, T - 1, pairs)]
    return torch.cat([_flow_of_pairs(clip.to(dtype), parameters) for clip in clips])


def _flow_of_pairs(frames: torch.Tensor, parameters: DisvrParameters) -> torch.Tensor:
    T, H, W = frames.shape
    finest, coarsest = levels_of(H, W, parameters.finest_level)
    levels = pyramid(frames, coarsest)
    flow = frames.new_zeros(T - 1, 2, *levels[coarsest].shape[1:])
    for level in range(coarsest, finest - 1, -1):
        first, second = levels[level][:-1], levels[level][1:]
        if level < coarsest:
            flow = enlarge(flow, first.shape[1], first.shape[2], scale=2)
        stride = parameters.patch_stride
        motions = search(first, second, flow, stride, parameters.descent_iterations)
        flow = densify(first, second, motions, stride)
        flow = refine(first, second, flow, parameters)
    return flow if finest == 0 else enlarge(flow, H, W, scale=2**finest)


def levels_of(H: int, W: int, finest_level: int) -> tuple[int, int]:
    """Returns the finest and the coarsest level.

    One patch fits in each level. In the coarsest, a quarter of the longer side is about a patch.
    """
    deepest = math.floor(math.log2(min(H, W) / PATCH_SIZE))
    quarter = math.floor(math.log2(max(H, W) / (4 * PATCH_SIZE)) + 0.5)
    finest = min(finest_level, deepest)
    return finest, max(finest, min(quarter, deepest))


def pyramid(frames: torch.Tensor, coarsest: int) -> list[torch.Tensor]:
    """Returns frames [T, H, W] on the levels 0 to coarsest, each halved by 2x2 means.

    Drops an odd last row or column.
    """
    levels = [frames]
    for _ in range(coarsest):
        fine = levels[-1]
        H, W = fine.shape[1] // 2, fine.shape[2] // 2
        blocks = fine[:, : 2 * H, : 2 * W].unflatten(1, (H, 2)).unflatten(3, (W, 2))
        levels.append(blocks.mean(dim=(2, 4)))
    return levels


def enlarge(flow: torch.Tensor, H: int, W: int, scale: int) -> torch.Tensor:
    """Enlarges the flow to a level of H x W pixels, `scale` times as fine."""
    P, _, coarse_H, coarse_W = flow.shape
    y = _positions_on_coarser(H, scale, coarse_H, flow)[:, None]
    x = _positions_on_coarser(W, scale, coarse_W, flow)
    shape = (2 * P, H, W)
    values = sampled(flow.flatten(0, 1), y.expand(shape), x.expand(shape))
    return scale * values.unflatten(0, (P, 2))


def _positions_on_coarser(
    side: int, scale: int, coarse_side: int, like: torch.Tensor
) -> torch.Tensor:
    return ((pixels(side, like) + 0.5) / scale - 0.5).clamp(0, coarse_side - 1)
