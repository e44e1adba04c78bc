"""The steps of the backward pass for maps too large for one program.

They keep the weights or the gradients of the scores in a workspace, as plain PyTorch does. The
workspace is bounded: a call takes some of its maps at a time.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row
from slt_fast.ops.launching import (
    Plan,
    can_describe,
    ceil_divide,
    describe,
    power_of_two,
    precision,
    strided,
)
from slt_fast.ops.pixel_attention.attention import Attention
from slt_fast.ops.pixel_attention.backward_parts import Gradients, of_part, parts

PADDING = 64  # rows of a workspace are a multiple of this, so that loads are wide for any map
NARROW_VALUES = 128  # value channels for which a program of 4 warps holds a block of keys
FIRST_WITH_DESCRIPTORS = 90  # architecture


def padded(size: int) -> int:
    """Returns the length of a row of a workspace."""
    return ceil_divide(size, PADDING) * PADDING


def add_by_weights(attention: Attention, gradients: Gradients, limit: int) -> None:
    """Plans the backward pass by products of torch, with weights and dS in a workspace.

        dP = G V^T        torch
        P, dS, dQ         weights_backward
        dV = P^T G        torch
        dK = dS^T Q       transposed_product

    The wide products are torch's, because one program cannot hold all channels of its tiles.
    """
    _, _, Nq, Nk, _, _ = attention.shape
    plan, q, width = attention.plan, attention.q, padded(Nk)
    if gradients.output.dtype != q.dtype:
        gradients = replace(gradients, output=_copied(plan, gradients.output, q.dtype))
    found = parts(attention, 2 * q.element_size() * Nq * width, limit)
    sizes = max((part.num_maps, part.num_heads) for part in found)
    workspace = plan.allocate("workspace", q.new_empty(2, *sizes, Nq, width))
    if gradients.bias is not None:
        plan.call(torch.Tensor.zero_, gradients.bias)
    for part in found:
        d_scores, weights = workspace[:, : part.num_maps, : part.num_heads].unbind()
        _add_part_by_weights(*of_part(attention, gradients, part), d_scores, weights)


def _add_part_by_weights(
    attention: Attention, gradients: Gradients, d_scores: torch.Tensor, weights: torch.Tensor
) -> None:
    """Plans all gradients of some maps, with workspaces [maps, heads, Nq, padded Nk]."""
    from slt_fast.ops.pixel_attention.backward_weights_kernel import weights_backward_kernel

    plan, Nk, gamma = attention.plan, attention.shape[3], attention.gamma
    plan.multiply(gradients.output, attention.v.mT, d_scores[..., :Nk])
    # A weight times a small gamma has too few digits in float16.
    is_after = gamma is not None and attention.q.dtype == torch.float16
    attention.launch(
        weights_backward_kernel,
        "weights_backward",
        attention.programs("weights_backward", "BLOCK_Q"),
        gamma=gamma,
        weights_gamma=None if is_after else gamma,
        d_weights=strided(d_scores),
        weights=strided(weights),
        dq=strided(gradients.q),
        delta=gradients.delta,
    )
    plan.multiply(weights[..., :Nk].mT, gradients.output, gradients.v)
    if is_after:
        assert gamma is not None
        plan.call(torch.Tensor.mul_, gradients.v, gamma)
    _add_product(attention, d_scores, attention.q, gradients.k)
    _add_dbias(plan, gradients, d_scores[..., :Nk])


def add_by_key_blocks(
    attention: Attention,
    gradients: Gradients,
    attended: torch.Tensor,
    row_statistics: torch.Tensor,
    limit: int,
) -> None:
    """Plans the backward pass by blocks of keys, with dS^T in a workspace.

        delta = rowsum(G * attended)    delta
        dK, dV, dS^T                    key_block_backward
        dQ = (dS^T)^T K                 transposed_product

    Tensors whose layout a descriptor cannot take are copied.
    """
    _, _, Nq, Nk, _, _ = attention.shape
    plan, q, k, v = attention.plan, attention.q, attention.k, attention.v
    _add_delta(attention, gradients, attended)
    q, k, v, output = (_describable(plan, t, q.dtype) for t in (q, k, v, gradients.output))
    attention = replace(attention, q=q, k=k, v=v)
    wanted = dv = gradients.v
    if not can_describe(dv):
        dv = plan.allocate("dense_dv", dv.new_empty(dv.shape))
    gradients = replace(gradients, output=output, v=dv)
    found = parts(attention, q.element_size() * Nk * padded(Nq), limit)
    sizes = max((part.num_maps, part.num_heads) for part in found)
    workspace = plan.allocate("workspace", q.new_empty(*sizes, Nk, padded(Nq)))
    if gradients.bias is not None:
        plan.call(torch.Tensor.zero_, gradients.bias)
    for part in found:
        d_scores = workspace[: part.num_maps, : part.num_heads]
        of_attention, of_gradients = of_part(attention, gradients, part)
        statistics = row_statistics[part.maps, part.heads]
        _add_key_blocks(of_attention, of_gradients, d_scores, statistics)
        _add_product(of_attention, d_scores, of_attention.k, of_gradients.q)
        _add_dbias(plan, of_gradients, d_scores[..., :Nq].mT)
    if dv is not wanted:
        plan.call(torch.Tensor.copy_, wanted, dv)


def _add_delta(attention: Attention, gradients: Gradients, attended: torch.Tensor) -> None:
    from slt_fast.ops.pixel_attention.backward_key_block_kernel import delta_kernel

    B, heads, Nq, _, _, dv = attention.shape
    row = _unbiased_row(attention, "delta")
    attention.plan.launch(
        delta_kernel,
        row,
        B * heads * ceil_divide(Nq, row.blocks["BLOCK_Q"]),
        attended=strided(attended),
        gradient=strided(gradients.output),
        delta=gradients.delta,
        heads=heads,
        Nq=Nq,
        DV=dv,
        BLOCK_V=power_of_two(dv),
    )


def _add_key_blocks(
    attention: Attention,
    gradients: Gradients,
    d_scores: torch.Tensor,
    row_statistics: torch.Tensor,
) -> None:
    """Plans dK, dV and dS^T of some maps; the workspace is [maps, heads, Nk, padded Nq]."""
    from slt_fast.ops.pixel_attention.backward_key_block_kernel import key_block_backward_kernel

    name = "key_block_backward"
    if attention.shape[5] <= NARROW_VALUES:
        name += "_narrow"
    block = attention.blocks(name)
    queries, keys = block["BLOCK_Q"], block["BLOCK_K"]
    key_channels, channels = block["BLOCK_DK"], power_of_two(attention.shape[5])
    is_described = attention.row(name).architecture >= FIRST_WITH_DESCRIPTORS
    blocks = {
        "q": (attention.q, queries, key_channels),
        "k": (attention.k, keys, key_channels),
        "v": (attention.v, keys, channels),
        "gradient": (gradients.output, queries, channels),
        "d_scores": (d_scores, keys, queries),
        "dv": (gradients.v, keys, channels),
    }
    attention.launch(
        key_block_backward_kernel,
        name,
        attention.programs(name, "BLOCK_K"),
        gamma=attention.gamma,
        dk=strided(gradients.k),
        row_statistics=row_statistics,
        delta=gradients.delta,
        width=d_scores.shape[3],
        BLOCK_V=channels,
        DESCRIBED=is_described,
        **{n: describe(*b) if is_described else strided(b[0]) for n, b in blocks.items()},
    )


def _describable(plan: Plan, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns a tensor of a type that a descriptor takes: the same one, or a planned copy."""
    if tensor.dtype == dtype and can_describe(tensor):
        return tensor
    return _copied(plan, tensor, dtype)


def _add_product(
    attention: Attention, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor
) -> None:
    """Plans out = left^T right * scale * gamma; left has padded rows."""
    from slt_fast.ops.pixel_attention.backward_product_kernel import transposed_product_kernel

    B, heads, num_rows, dk = out.shape
    row = _unbiased_row(attention, "transposed_product")
    attention.plan.launch(
        transposed_product_kernel,
        row,
        B * heads * ceil_divide(num_rows, row.blocks["BLOCK_ROWS"]),
        left=strided(left),
        right=strided(right),
        gamma=attention.gamma,
        out=strided(out),
        heads=heads,
        num_rows=num_rows,
        num_columns=right.shape[2],
        scale=attention.scale,
        DK=dk,
        BLOCK_DK=power_of_two(dk),
        PRECISION=precision(out.dtype),
    )


def _unbiased_row(attention: Attention, name: str) -> Row:
    """Returns the row of a kernel that takes no bias."""
    architecture = kernel_table.architecture_of(attention.plan.device)
    return kernel_table.find(name, architecture, attention.q.element_size())


def _add_dbias(plan: Plan, gradients: Gradients, d_scores: torch.Tensor) -> None:
    """Plans the sum of dS [maps, heads, Nq, Nk] over maps that share an entry of the bias."""
    dbias = gradients.bias
    if dbias is not None:
        plan.call(_add_sum, dbias, d_scores.unflatten(0, (-1, dbias.shape[1])))


def _copied(plan: Plan, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Plans a dense copy of a tensor in a type."""
    name = f"copy_{len(plan.memory)}"
    copy = plan.allocate(name, tensor.new_empty(tensor.shape, dtype=dtype))
    plan.call(torch.Tensor.copy_, copy, tensor)
    return copy


def _add_sum(total: torch.Tensor, values: torch.Tensor) -> None:
    """Adds the sum over the first dimension, in float32."""
    total += values.sum(0, keepdim=True, dtype=torch.float32)
