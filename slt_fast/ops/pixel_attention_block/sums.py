"""Plans the sums of the block's backward pass.

With dqkv [B, N, rows], the gradient of queries, keys and values,

    dweight   = dqkv^T x + (sum of dqkv over maps)^T encoding
    dbias     = sum of dqkv over maps and positions
    dgamma    = sum of the attention's delta
    dencoding = sum of dx over maps

One launch sums dqkv and delta over maps, a second one these sums over positions.
"""

from typing import NamedTuple

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.launching import Plan, ceil_divide


class Needed(NamedTuple):
    """Which gradients of the block are needed."""

    dx: bool
    dweight: bool
    dbias: bool
    dgamma: bool
    dencoding: bool


def add_sums(
    plan: Plan, dqkv: torch.Tensor, gamma: torch.Tensor, has_encoding: bool, needed: Needed
) -> torch.Tensor | None:
    """Plans `dbias` and `dgamma` if they are needed.

    Returns:
        The sum of dqkv over maps, [N, rows] in the type of dqkv, if dweight needs it.
    """
    sums = rounded = delta = delta_sums = None
    needs_positions = needed.dweight and has_encoding
    if needs_positions or needed.dbias:
        sums = plan.allocate("sums", torch.empty_like(dqkv[0], dtype=torch.float32))
    if needs_positions and dqkv.dtype != torch.float32:
        rounded = plan.allocate("rounded_sums", torch.empty_like(dqkv[0]))
    if needed.dgamma:
        delta = plan.memory["delta"]
        delta_sums = plan.allocate("delta_sums", torch.empty_like(delta[0]))
    dqkv_or_none = None if sums is None else dqkv
    add_sum(plan, "map_sums", dqkv_or_none, sums, rounded, delta, delta_sums)
    _add_totals(plan, gamma, sums if needed.dbias else None, delta_sums, dqkv.dtype)
    if not needs_positions:
        return None
    return sums if rounded is None else rounded


def _add_totals(
    plan: Plan,
    gamma: torch.Tensor,
    sums: torch.Tensor | None,
    delta_sums: torch.Tensor | None,
    dtype: torch.dtype,
) -> None:
    """Plans `dbias` of a type from sums [N, rows], and `dgamma` from delta_sums [heads, N]."""
    dbias = dgamma = None
    if sums is not None:
        dbias = plan.allocate("dbias", torch.empty_like(sums[0], dtype=dtype))
    if delta_sums is not None:
        dgamma = plan.allocate("dgamma", gamma.new_empty(gamma.shape))
        delta_sums = delta_sums.view(-1, 1)
    add_sum(plan, "total_sums", sums, dbias, None, delta_sums, dgamma)


def add_sum(
    plan: Plan,
    name: str,
    left: torch.Tensor | None,
    left_sums: torch.Tensor | None,
    left_rounded: torch.Tensor | None,
    right: torch.Tensor | None = None,
    right_sums: torch.Tensor | None = None,
) -> None:
    """Plans sums over the first dimension of contiguous tensors, by a row of the kernel table.

    See `sum_kernel`; nothing is planned without tensors. left_rounded has the shape of left[0] and
    any strides if that is a matrix.
    """
    from slt_fast.ops.pixel_attention_block.sum_kernel import sum_kernel

    given = right if left is None else left
    if given is None:
        return
    architecture = kernel_table.architecture_of(plan.device)
    row = kernel_table.find(name, architecture, given.element_size())
    left_terms, left_size = _terms(left)
    right_terms, right_size = _terms(right)
    block = row.blocks["BLOCK"]
    plan.launch(
        sum_kernel,
        row,
        ceil_divide(left_size, block) + ceil_divide(right_size, block),
        left=left,
        left_sums=left_sums,
        left_rounded=None if left_rounded is None else (left_rounded, *left_rounded.stride()),
        right=right,
        right_sums=right_sums,
        left_terms=left_terms,
        left_size=left_size,
        num_columns=1 if left is None else left.shape[-1],
        right_terms=right_terms,
        right_size=right_size,
    )


def _terms(values: torch.Tensor | None) -> tuple[int, int]:
    """Returns how many terms a sum over the first dimension has, and how many sums there are."""
    return (0, 0) if values is None else (len(values), values[0].numel())
