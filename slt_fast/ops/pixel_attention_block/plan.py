"""The block's kernels: a projection and an attention, or one; backward an attention and others.

    qkv = x qkv_weight^T + (encoding qkv_weight^T + qkv_bias)
    y   = x + encoding + gamma * attention(q, k, v)

The second part of qkv is a table [N, rows], and y is computed in the attention's epilogue. So
neither the encoding nor gamma and the residual cost a pass over the maps.
"""

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.launching import (
    Plan,
    Planner,
    ceil_divide,
    empty_map,
    memory_format,
    precision,
    strided,
)
from slt_fast.ops.pixel_attention.attention import Attention
from slt_fast.ops.pixel_attention.plan import add_backward, add_forward
from slt_fast.ops.pixel_attention_block.one_kernel import (
    add_block_forward,
    repeated_encoding,
    takes_one_kernel,
)
from slt_fast.ops.pixel_attention_block.sums import Needed, add_sum, add_sums


@Planner
def forward_plan(
    plan: Plan,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
    saves: bool,
    is_aligned: bool,
) -> None:
    """Plans `out`, `qkv`, and `attended` and `row_statistics` of the flash kernels.

    One kernel needs aligned addresses. Unless the plan `saves` for a backward pass, it writes no
    `qkv`, and the flash kernels no `attended`.
    """
    layouts = (x, qkv_weight, qkv_bias, positional_encoding)
    if is_aligned and takes_one_kernel(plan.device, *layouts, num_heads):
        _add_one_kernel(plan, *layouts, gamma, scale, saves)
        return
    tokens = tokens_of(token_major(plan, "tokens", x))
    encoding = encoding_tokens(plan, positional_encoding)
    table = position_table(plan, encoding, qkv_weight, qkv_bias)
    qkv = _allocate_qkv(plan, x, qkv_weight)
    add_projection(plan, tokens, qkv_weight, table, qkv)
    out = plan.allocate("out", empty_map(x))
    q, k, v = _parts(qkv, key_channels, num_heads)
    add_forward(
        Attention(plan, q, k, v, None, scale, gamma),
        _heads(tokens_of(out), num_heads),
        residual=_heads(tokens, num_heads),
        encoding=None if encoding is None else _heads(encoding.expand_as(tokens), num_heads),
        saves=saves,
    )


def _add_one_kernel(
    plan: Plan,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    positional_encoding: torch.Tensor | None,
    gamma: torch.Tensor,
    scale: float,
    saves: bool,
) -> None:
    encoding = repeated_encoding(plan, positional_encoding)
    first = None if encoding is None else encoding[0]
    table = position_table(plan, first, qkv_weight, qkv_bias)
    qkv = _allocate_qkv(plan, x, qkv_weight) if saves else None
    out = plan.allocate("out", empty_map(x))
    add_block_forward(plan, (x, qkv_weight, gamma), table, encoding, qkv, out, scale)


def _allocate_qkv(plan: Plan, x: torch.Tensor, qkv_weight: torch.Tensor) -> torch.Tensor:
    B, _, H, W = x.shape
    return plan.allocate("qkv", qkv_weight.new_empty(B, H * W, len(qkv_weight)))


@Planner
def backward_plan(
    plan: Plan,
    gradient: torch.Tensor,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    gamma: torch.Tensor,
    positional_encoding: torch.Tensor | None,
    qkv: torch.Tensor,
    attended: torch.Tensor | None,
    row_statistics: torch.Tensor | None,
    key_channels: int,
    num_heads: int,
    scale: float,
    needed: Needed,
) -> None:
    """Plans the gradients that are needed: `dx`, `dweight`, `dbias`, `dgamma` and `dencoding`."""
    tokens = tokens_of(token_major(plan, "gradient_tokens", gradient))
    dqkv = plan.allocate("dqkv", torch.empty_like(qkv))
    q, k, v = _parts(qkv, key_channels, num_heads)
    add_backward(
        Attention(plan, q, k, v, None, scale, gamma),
        _heads(tokens, num_heads),
        _parts(dqkv, key_channels, num_heads),
        attended,
        row_statistics,
    )
    by_position = add_sums(plan, dqkv, gamma, positional_encoding is not None, needed)
    if needed.dweight:
        _add_dweight(plan, dqkv, x, by_position, positional_encoding)
    if needed.dx or needed.dencoding:
        dx = plan.allocate("dx", torch.empty_like(gradient, memory_format=memory_format(x)))
        add_projection(plan, dqkv, qkv_weight.mT, tokens, tokens_of(dx))
        if needed.dencoding:
            assert positional_encoding is not None
            _add_dencoding(plan, dx, positional_encoding)


def _add_dweight(
    plan: Plan,
    dqkv: torch.Tensor,
    x: torch.Tensor,
    by_position: torch.Tensor | None,
    positional_encoding: torch.Tensor | None,
) -> None:
    """Plans dweight = dqkv^T x + by_position^T encoding."""
    flat = dqkv.flatten(0, 1)
    dweight = plan.allocate("dweight", dqkv.new_empty(dqkv.shape[2], x.shape[1]))
    plan.call(_multiply, flat.mT, _matrix_of(plan, "x_rows", x, dqkv.dtype), dweight)
    if by_position is not None:
        assert positional_encoding is not None
        encoding = _matrix_of(plan, "encoding_rows", positional_encoding[None], dqkv.dtype)
        plan.call(_add_product, by_position.mT, encoding, dweight)


def _add_dencoding(plan: Plan, dx: torch.Tensor, positional_encoding: torch.Tensor) -> None:
    """Plans dencoding [C, H, W], the sum of dx over maps."""
    dencoding = plan.allocate("dencoding", positional_encoding.new_empty(dx.shape[1:]))
    values, sums = dx.flatten(2), dencoding.flatten(1)
    if not values.is_contiguous():
        values, sums = values.mT, sums.mT
    add_sum(plan, "map_sums", values, None, sums)


def add_projection(
    plan: Plan, x: torch.Tensor, weight: torch.Tensor, added: torch.Tensor | None, out: torch.Tensor
) -> None:
    """Plans out = x weight^T + added.

    Args:
        plan: The plan that the launch is added to.
        x: [B, N, channels], any strides.
        weight: [outputs, channels], any strides.
        added: Broadcasts to [B, N, outputs], or None.
        out: [B, N, outputs], any strides.
    """
    from slt_fast.ops.pixel_attention_block.projection_kernel import projection_kernel

    B, N, channels = x.shape
    num_outputs = len(weight)
    architecture = kernel_table.architecture_of(plan.device)
    row = kernel_table.find("projection", architecture, weight.element_size())
    num_programs = ceil_divide(B * N, row.blocks["BLOCK_ROWS"])
    num_programs *= ceil_divide(num_outputs, row.blocks["BLOCK_COLUMNS"])
    plan.launch(
        projection_kernel,
        row,
        num_programs,
        x=strided(x),
        weight=strided(weight),
        added=None if added is None else strided(added.expand(B, N, num_outputs)),
        out=strided(out),
        num_rows=B * N,
        N=N,
        num_outputs=num_outputs,
        CHANNELS=channels,
        PRECISION=precision(weight.dtype),
    )


def token_major(plan: Plan, name: str, maps: torch.Tensor) -> torch.Tensor:
    """Returns maps whose channels are adjacent in memory: the same maps, or a planned copy."""
    _, C, _, W = maps.shape
    _, channel_stride, row_stride, column_stride = maps.stride()
    if (channel_stride == 1 or C == 1) and row_stride == W * column_stride:
        return maps
    copy = plan.allocate(name, torch.empty_like(maps, memory_format=torch.channels_last))
    plan.call(torch.Tensor.copy_, copy, maps)
    return copy


def encoding_tokens(plan: Plan, encoding: torch.Tensor | None) -> torch.Tensor | None:
    """[C, H, W] -> [N, C] with adjacent channels: a view, or one of a planned copy."""
    if encoding is None:
        return None
    by_position = encoding.permute(1, 2, 0)
    if not by_position.is_contiguous():
        copy = plan.allocate("encoding", by_position.new_empty(by_position.shape))
        plan.call(torch.Tensor.copy_, copy, by_position)
        by_position = copy
    return by_position.view(-1, by_position.shape[2])


def position_table(
    plan: Plan,
    encoding: torch.Tensor | None,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
) -> torch.Tensor | None:
    """Plans what the projection adds at each position: encoding qkv_weight^T + qkv_bias."""
    if encoding is None:
        return qkv_bias
    if encoding.dtype != qkv_weight.dtype:
        cast = plan.allocate("cast_encoding", qkv_weight.new_empty(encoding.shape))
        plan.call(torch.Tensor.copy_, cast, encoding)
        encoding = cast
    table = plan.allocate("table", qkv_weight.new_empty(len(encoding), len(qkv_weight)))
    if qkv_bias is None:
        plan.call(_multiply, encoding, qkv_weight.mT, table)
    else:
        plan.call(_multiply_and_add, qkv_bias, encoding, qkv_weight.mT, table)
    return table


def _multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(a, b, out=out)


def _multiply_and_add(
    added: torch.Tensor, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor
) -> None:
    torch.addmm(added, a, b, out=out)


def _add_product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.addmm_(a, b)


def _matrix_of(plan: Plan, name: str, maps: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, C, H, W] -> [B * N, C] in a type, for torch: a view, or one of a planned copy."""
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
    is_view = rows._base is not None
    if is_view and rows.dtype == dtype:
        return rows
    like = torch.empty_like(maps, dtype=dtype, memory_format=torch.channels_last)
    copy = plan.allocate(name, like)
    plan.call(torch.Tensor.copy_, copy, maps)
    return copy.permute(0, 2, 3, 1).flatten(0, 2)


def tokens_of(maps: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] -> [B, N, C], a view if the positions of the map have one stride."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def _parts(
    qkv: torch.Tensor, key_channels: int, num_heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns views of q, k, v [B, heads, N, channels a head] in their packed rows."""
    widths = [key_channels, key_channels, qkv.shape[2] - 2 * key_channels]
    q, k, v = (_heads(part, num_heads) for part in qkv.split(widths, dim=2))
    return q, k, v


def _heads(tokens: torch.Tensor, num_heads: int) -> torch.Tensor:
    return tokens.unflatten(2, (num_heads, -1)).transpose(1, 2)
