"""The variational refinement: robust constancy of brightness and of its gradient, a smooth flow.

Each constancy is normalised by the size of its own gradient. Each fixed point of a warp linearises
the equations again and relaxes them by red-black sweeps. All planes are [P, H, W].
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from slt_fast.ops.optical_flow.presets import DisvrParameters
from slt_fast.ops.optical_flow.reference.images import (
    bounded,
    central_differences,
    neighbours,
    pixels,
    sampled,
)

SMOOTHNESS, BRIGHTNESS, GRADIENT = 20.0, 5.0, 10.0  # alpha, delta and gamma
EPSILON, ZETA = 0.01, 0.1
OMEGA = 1.8


class Derivatives(NamedTuple):
    """Derivatives of the mean of the first and the warped second frame, and their difference t."""

    x: torch.Tensor
    y: torch.Tensor
    t: torch.Tensor
    xx: torch.Tensor
    xy: torch.Tensor
    yy: torch.Tensor
    xt: torch.Tensor
    yt: torch.Tensor


class Equations(NamedTuple):
    """[a11 a12; a12 a22] (du, dv) = (b1, b2), without the neighbours' du and dv."""

    a11: torch.Tensor
    a12: torch.Tensor
    a22: torch.Tensor
    b1: torch.Tensor
    b2: torch.Tensor


class Edges(NamedTuple):
    """Weights of a pixel's edges to its neighbours; zero across the border."""

    left: torch.Tensor
    right: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor


def refine(
    first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor, parameters: DisvrParameters
) -> torch.Tensor:
    """Refines the flow [P, 2, H, W] by `warps` warps of `fixed_points` times `sweeps` sweeps."""
    for _ in range(parameters.warps):
        derivatives = warped_derivatives(first, second, flow)
        increment = torch.zeros_like(flow)
        for _ in range(parameters.fixed_points):
            edges = smoothness_edges(flow + increment)
            equations = with_edges(data_equations(derivatives, increment), edges, flow)
            for _ in range(parameters.sweeps):
                increment = relaxed(equations, edges, increment)
        flow = flow + increment
    return flow


def warped_derivatives(
    first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor
) -> Derivatives:
    """Computes the derivatives of a pair, its second frame warped onto the first by the flow."""
    H, W = first.shape[1:]
    y = bounded(pixels(H, flow)[:, None] + flow[:, 1], 0, H - 1)
    x = bounded(pixels(W, flow) + flow[:, 0], 0, W - 1)
    warped = sampled(second, y, x)
    along_x, along_y = central_differences((first + warped) / 2)
    xx, xy = central_differences(along_x)
    _, yy = central_differences(along_y)
    t = warped - first
    xt, yt = central_differences(t)
    return Derivatives(along_x, along_y, t, xx, xy, yy, xt, yt)


def data_equations(d: Derivatives, increment: torch.Tensor) -> Equations:
    """Builds the equations of both constancies, linearised at the increment [P, 2, H, W]."""
    du, dv = increment.unbind(1)
    norm = d.x**2 + d.y**2 + ZETA**2
    t = d.t + d.x * du + d.y * dv
    c = BRIGHTNESS / 2 / (t**2 / norm + EPSILON**2).sqrt() / norm

    norm_x = d.xx**2 + d.xy**2 + ZETA**2
    norm_y = d.yy**2 + d.xy**2 + ZETA**2
    xt = d.xt + d.xx * du + d.xy * dv
    yt = d.yt + d.xy * du + d.yy * dv
    g = GRADIENT / 2 / (xt**2 / norm_x + yt**2 / norm_y + EPSILON**2).sqrt()

    return Equations(
        a11=c * d.x**2 + ZETA**2 + g * (d.xx**2 / norm_x + d.xy**2 / norm_y),
        a12=c * d.x * d.y + g * (d.xx * d.xy / norm_x + d.xy * d.yy / norm_y),
        a22=c * d.y**2 + ZETA**2 + g * (d.xy**2 / norm_x + d.yy**2 / norm_y),
        b1=-c * d.t * d.x - g * (d.xx * d.xt / norm_x + d.xy * d.yt / norm_y),
        b2=-c * d.t * d.y - g * (d.xy * d.xt / norm_x + d.yy * d.yt / norm_y),
    )


def smoothness_edges(flow: torch.Tensor) -> Edges:
    """Computes the edges from the flow's forward differences: one weight to the right and down."""
    _, right, _, down = neighbours(flow, beyond="repeated")
    square = ((right - flow) ** 2 + (down - flow) ** 2).sum(dim=1)
    weight = SMOOTHNESS / 2 / (square + EPSILON**2).sqrt()
    to_right, to_below = weight.clone(), weight.clone()
    to_right[..., :, -1] = 0
    to_below[..., -1, :] = 0
    left = neighbours(to_right, beyond="zero")[0]
    up = neighbours(to_below, beyond="zero")[2]
    return Edges(left, to_right, up, to_below)


def with_edges(data: Equations, edges: Edges, flow: torch.Tensor) -> Equations:
    """Adds the pull of the neighbours' flow [P, 2, H, W], before its increment."""
    total = edges.left + edges.right + edges.up + edges.down
    around = neighbours(flow, beyond="repeated")
    pull = _weighted_sum(edges, [value - flow for value in around])
    return Equations(
        data.a11 + total, data.a12, data.a22 + total, data.b1 + pull[:, 0], data.b2 + pull[:, 1]
    )


def _weighted_sum(edges: Edges, values: Sequence[torch.Tensor]) -> torch.Tensor:
    left, right, up, down = (
        weight[:, None] * value for weight, value in zip(edges, values, strict=True)
    )
    return left + right + up + down


def relaxed(equations: Equations, edges: Edges, increment: torch.Tensor) -> torch.Tensor:
    """Sweeps the increment [P, 2, H, W] once: pixels of even x + y first, then the others."""
    H, W = increment.shape[2:]
    row, column = (torch.arange(side, device=increment.device) for side in (H, W))
    is_red = (row[:, None] + column) % 2 == 0
    for is_swept in (is_red, ~is_red):
        sums = _weighted_sum(edges, neighbours(increment, beyond="zero"))
        du, dv = increment.unbind(1)
        wanted = (sums[:, 0] + equations.b1 - equations.a12 * dv) / equations.a11
        du = torch.where(is_swept, du + OMEGA * (wanted - du), du)
        wanted = (sums[:, 1] + equations.b2 - equations.a12 * du) / equations.a22
        dv = torch.where(is_swept, dv + OMEGA * (wanted - dv), dv)
        increment = torch.stack([du, dv], dim=1)
    return increment
