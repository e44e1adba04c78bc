"""Dense inverse search: the motions of patches of 8x8 pixels, and the flow that they form.

Patch (p, q) of a level starts at row stride * p and column stride * q. The motions of a level's
patches are [P, 2, rows, columns], (u, v) in pixels.
"""

from typing import NamedTuple

import torch

from slt_fast.ops.optical_flow.reference.images import (
    blended,
    bounded,
    pixels,
    sampled,
    sobel_gradients,
)

PATCH_SIZE = 8
# Share of a Gauss-Newton step that is taken: full steps overshoot if one direction dominates.
DAMPING = 0.25


class PatchSums(NamedTuple):
    """Sums over a patch: products of its gradients, and the gradients; [P, rows, columns]."""

    xx: torch.Tensor
    xy: torch.Tensor
    yy: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor


class Patches(NamedTuple):
    """The first frame's pixels and gradients, [P, rows, columns, 8, 8]."""

    values: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor


def search(
    first: torch.Tensor, second: torch.Tensor, start: torch.Tensor, stride: int, iterations: int
) -> torch.Tensor:
    """Searches the motion of each patch, from the start flow [P, 2, H, W] at its centre."""
    patches = Patches(*(_cut(image, stride) for image in (first, *sobel_gradients(first))))
    sums = patch_sums(patches)
    rows, columns = patches.values.shape[1:3]
    middle = PATCH_SIZE // 2
    begun = start[..., middle::stride, middle::stride][..., :rows, :columns]
    motions = begun
    for _ in range(iterations):
        motions = descend(patches, sums, second, motions, stride)
    return accepted(motions, begun)


def _cut(images: torch.Tensor, stride: int) -> torch.Tensor:
    return images.unfold(1, PATCH_SIZE, stride).unfold(2, PATCH_SIZE, stride)


def patch_sums(patches: Patches) -> PatchSums:
    x, y = patches.x, patches.y
    return PatchSums(*(values.sum(dim=(-2, -1)) for values in (x * x, x * y, y * y, x, y)))


def descend(
    patches: Patches, sums: PatchSums, second: torch.Tensor, motions: torch.Tensor, stride: int
) -> torch.Tensor:
    """Takes a damped Gauss-Newton step of every patch on its mean-normalised difference."""
    difference = warped_patches(second, motions, stride) - patches.values
    mean = difference.mean(dim=(-2, -1))
    x = (difference * patches.x).sum(dim=(-2, -1)) - mean * sums.x
    y = (difference * patches.y).sum(dim=(-2, -1)) - mean * sums.y
    # Without the relative bound, the flow of exact stripes would depend on rounding.
    determinant = sums.xx * sums.yy - sums.xy**2
    determinant = determinant.maximum(1e-3 * (sums.xx + sums.yy) ** 2).clamp(min=1e-3)
    step_u = (sums.yy * x - sums.xy * y) / determinant
    step_v = (sums.xx * y - sums.xy * x) / determinant
    return motions - DAMPING * torch.stack([step_u, step_v], dim=1)


def warped_patches(second: torch.Tensor, motions: torch.Tensor, stride: int) -> torch.Tensor:
    """Reads the second frame at the moved patches, [P, rows, columns, 8, 8].

    At least one pixel of a patch stays inside.
    """
    H, W = second.shape[1:]
    rows, columns = motions.shape[2:]
    at_row = stride * pixels(rows, motions)[:, None]
    at_column = stride * pixels(columns, motions)
    y = bounded(at_row + motions[:, 1], 1 - PATCH_SIZE, H - 1)[..., None, None]
    x = bounded(at_column + motions[:, 0], 1 - PATCH_SIZE, W - 1)[..., None, None]
    pixel = torch.arange(PATCH_SIZE, device=motions.device)
    top, left = torch.broadcast_tensors(y.floor().long() + pixel[:, None], x.floor().long() + pixel)
    # All pixels of a patch share one position between the pixels.
    return blended(second, top, left, y - y.floor(), x - x.floor())


def accepted(found: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Returns patches that moved further than their own size, or to NaN, to their start."""
    is_near = (found - start).square().sum(dim=1, keepdim=True) <= PATCH_SIZE**2
    return torch.where(is_near, found, start)


def covering(side: int, stride: int, patches: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the first and the last patch along a side that cover each of its pixels.

    The last patch also covers the rest of the side.
    """
    pixel = torch.arange(side)
    last = (pixel // stride).clamp(max=patches - 1)
    first = ((pixel - PATCH_SIZE) // stride + 1).clamp(min=0)
    return first.minimum(last), last


def densify(
    first: torch.Tensor, second: torch.Tensor, motions: torch.Tensor, stride: int
) -> torch.Tensor:
    """Computes the flow [P, 2, H, W]: at a pixel, the weighted mean motion of all its patches.

    The weight of a motion falls with the difference of the frames that it leaves.
    """
    (H, W), (rows, columns) = first.shape[1:], motions.shape[2:]
    first_row, last_row = (bound.to(first.device) for bound in covering(H, stride, rows))
    first_column, last_column = (bound.to(first.device) for bound in covering(W, stride, columns))
    total = torch.zeros_like(first[:, None])
    flow = torch.zeros_like(total.expand(-1, 2, -1, -1))
    overlapping = -(-PATCH_SIZE // stride)
    for i in range(overlapping):
        for j in range(overlapping):
            row, column = first_row + i, first_column + j
            covers = (row <= last_row)[:, None] & (column <= last_column)
            row, column = row.minimum(last_row), column.minimum(last_column)
            motion = motions[:, :, row[:, None], column]
            weight = (covers * motion_weight(first, second, motion))[:, None]
            total = total + weight
            flow = flow + weight * motion
    return flow / total


def motion_weight(first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Returns the weight [P, H, W] of a motion at each pixel: 1 over the remaining difference."""
    H, W = first.shape[1:]
    y = bounded(pixels(H, flow)[:, None] + flow[:, 1], 0, H - 1 - 1e-3)
    x = bounded(pixels(W, flow) + flow[:, 0], 0, W - 1 - 1e-3)
    return 1 / (sampled(second, y, x) - first).abs().clamp(min=1)
