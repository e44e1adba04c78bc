"""The sequence of kernels of an attention: of whole maps, of whole rows of scores, or flash.

`add_forward` and `add_backward` write the sequence of kernels into a plan. pixel_attention_block
uses them for its own plans.
"""

from typing import Any

import torch

from slt_fast.ops.launching import Plan, Planner, ceil_divide, forget_plans, strided
from slt_fast.ops.pixel_attention import backward_steps as steps
from slt_fast.ops.pixel_attention.attention import Attention
from slt_fast.ops.pixel_attention.backward_parts import allocate_gradients

FULL_CHIP = 264  # programs that keep a large GPU busy: two for each of 132 multiprocessors
MAX_WORKSPACE = 256 * 2**20  # bytes; see set_workspace_limit
Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # gradients of q, k and v


def set_workspace_limit(num_bytes: int) -> None:
    """Sets how much memory the backward pass of attention may take for its scores.

    Over 64 positions it holds them for as many maps at a time as fit, or for one map of one head if
    none fits. The limit does not change results; a lower one makes more and smaller steps.

    Args:
        num_bytes: Bytes for each call, 256 MiB at first.

    Raises:
        TypeError: No whole number.
        ValueError: Fewer than one byte.
    """
    global MAX_WORKSPACE
    if not hasattr(num_bytes, "__index__") or num_bytes is True:
        found = f"found {num_bytes!r} bytes; expected a whole number"
        raise TypeError(f"set_workspace_limit: {found}")
    if num_bytes < 1:
        raise ValueError(f"set_workspace_limit: found {num_bytes} bytes; expected 1 or more")
    MAX_WORKSPACE = num_bytes
    forget_plans()


def workspace_limit() -> int:
    """Returns the bytes that set_workspace_limit allows."""
    return MAX_WORKSPACE


def add_forward(
    attention: Attention,
    out: torch.Tensor,
    residual: torch.Tensor | None = None,
    encoding: torch.Tensor | None = None,
    saves: bool = True,
) -> None:
    """Plans the output, with gamma and the residual if there is one.

    The flash kernels also write what their backward pass needs: each row's statistics in
    `row_statistics` [B, heads, 2, Nq] and, if there is a residual, the attention's own output in
    `attended`.

    Args:
        attention: The inputs.
        out: [B, heads, Nq, dv], written.
        residual: [B, heads, Nq, dv], added to gamma times the attention; None for nothing.
        encoding: [B, heads, Nq, dv], added to the residual; None for nothing.
        saves: Whether a backward pass follows, which needs `attended`.
    """
    from slt_fast.ops.pixel_attention import forward_kernels as kernels

    arguments: dict[str, Any] = {
        "v": strided(attention.v),
        "residual": None if residual is None else strided(residual),
        "encoding": None if encoding is None else strided(encoding),
        "gamma": attention.gamma,
        "out": strided(out),
    }
    is_flash = attention.regime == "flash"
    name = "flash_forward" if is_flash else "whole_row_forward"
    if residual is not None:
        name += "_residual"  # a residual takes registers of its own
    row_programs = attention.programs(name, "BLOCK_Q")
    programs = attention.programs(name, "BLOCK_Q", "BLOCK_V")
    if not is_flash:
        splits = max(1, min(programs // row_programs, FULL_CHIP // row_programs))
        kernel, num_programs = kernels.whole_row_forward_kernel, row_programs * splits
        attention.launch(kernel, name, num_programs, value_splits=splits, **arguments)
        return
    arguments["attended"] = None
    if residual is not None and saves:
        attended = attention.plan.allocate("attended", empty_token_major(attention.q, *out.shape))
        arguments["attended"] = strided(attended)
    arguments["row_statistics"] = attention.allocate_rows("row_statistics", 2)
    attention.launch(kernels.flash_forward_kernel, name, programs, **arguments)


def add_backward(
    attention: Attention,
    gradient: torch.Tensor,
    into: Outputs,
    attended: torch.Tensor | None,
    row_statistics: torch.Tensor | None,
    needs_dbias: bool = False,
) -> None:
    """Plans the gradients of q, k and v.

    Also writes `delta` [B, heads, Nq], whose sum is gamma's gradient, if a later kernel or gamma
    needs it, and `partial` [groups, bias_batches, heads, Nq, Nk], whose sum over groups is the
    gradient of the expanded bias, if `needs_dbias`.

    Args:
        attention: The inputs of the forward pass.
        gradient: [B, heads, Nq, dv], any strides: of the output, without gamma.
        into: Where the gradients of q, k and v are written.
        attended: The attention's own output, for the flash kernels.
        row_statistics: Written by the flash kernels in the forward pass.
        needs_dbias: Whether the bias's gradient is wanted.
    """
    if attention.regime == "whole_map":
        _add_whole_map_backward(attention, gradient, into, needs_dbias)
        return
    is_flash = attention.regime == "flash" and attention.q.dtype != torch.float32
    needs_delta = is_flash or attention.gamma is not None
    gradients = allocate_gradients(attention, gradient, into, needs_delta, needs_dbias)
    if not is_flash:
        steps.add_by_weights(attention, gradients, MAX_WORKSPACE)
        return
    assert attended is not None and row_statistics is not None
    steps.add_by_key_blocks(attention, gradients, attended, row_statistics, MAX_WORKSPACE)


def _add_whole_map_backward(
    attention: Attention, gradient: torch.Tensor, into: Outputs, needs_dbias: bool
) -> None:
    from slt_fast.ops.pixel_attention.backward_whole_map_kernel import whole_map_backward_kernel

    delta = row_statistics = None
    if needs_dbias or attention.gamma is not None:
        delta = attention.allocate_rows("delta")
    if needs_dbias:
        row_statistics = attention.allocate_rows("row_statistics", 2)
    dq, dk, dv = map(strided, into)
    attention.launch(
        whole_map_backward_kernel,
        "whole_map_backward",
        attention.programs("whole_map_backward"),
        v=strided(attention.v),
        gradient=strided(gradient),
        gamma=attention.gamma,
        dq=dq,
        dk=dk,
        dv=dv,
        row_statistics=row_statistics,
        delta=delta,
    )
    if needs_dbias:
        _add_dbias(attention, gradient, row_statistics=row_statistics, delta=delta)


def _add_dbias(attention: Attention, gradient: torch.Tensor, **rows: Any) -> None:
    from slt_fast.ops.pixel_attention.backward_dbias_kernel import dbias_kernel

    B, heads, Nq, Nk, _, _ = attention.shape
    shared = attention.bias_batches
    tiles = attention.programs("dbias", "BLOCK_Q", "BLOCK_K") // B * shared
    groups = max(1, min(B // shared, FULL_CHIP // tiles))
    maps_per_program = ceil_divide(B // shared, groups)
    groups = ceil_divide(B // shared, maps_per_program)
    partial = attention.q.new_empty(groups, shared, heads, Nq, Nk, dtype=torch.float32)
    attention.launch(
        dbias_kernel,
        "dbias",
        groups * tiles,
        v=strided(attention.v),
        gradient=strided(gradient),
        partial=attention.plan.allocate("partial", partial),
        B=B,
        maps_per_program=maps_per_program,
        **rows,
    )


@Planner
def forward_plan(
    plan: Plan,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> None:
    """Plans `out`, and `row_statistics` of the flash kernels."""
    out = plan.allocate("out", empty_token_major(q, *q.shape[:3], v.shape[3]))
    add_forward(Attention(plan, q, k, v, bias, scale), out)


@Planner
def backward_plan(
    plan: Plan,
    gradient: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor | None,
    row_statistics: torch.Tensor | None,
    scale: float,
    needs_dbias: bool,
) -> None:
    """Plans `dq`, `dk`, `dv` and `partial`, the parts of the bias's gradient."""
    dq = plan.allocate("dq", torch.empty_like(q))
    dk = plan.allocate("dk", torch.empty_like(k))
    dv = plan.allocate("dv", torch.empty_like(v))
    attention = Attention(plan, q, k, v, bias, scale)
    add_backward(attention, gradient, (dq, dk, dv), out, row_statistics, needs_dbias)


def empty_token_major(like: torch.Tensor, *shape: int) -> torch.Tensor:
    """Returns [B, heads, N, channels] with all heads of a position adjacent in memory."""
    B, heads, N, channels = shape
    return like.new_empty(B, N, heads, channels).transpose(1, 2)
