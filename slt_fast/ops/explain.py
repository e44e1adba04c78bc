"""Tells which kernels a call would take, and why not faster ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.backend import choose_backend
from slt_fast.ops.pixel_attention import launch, operator
from slt_fast.ops.pixel_attention.launch import Attention
from slt_fast.ops.pixel_attention.operator import pixel_attention, to_autocast_type
from slt_fast.ops.pixel_attention_block import operator as block_operator
from slt_fast.ops.pixel_attention_block.launch import token_view
from slt_fast.ops.pixel_attention_block.operator import pixel_attention_block
from slt_fast.ops.positional_encoding import operator as encoding_operator
from slt_fast.ops.positional_encoding.operator import add_positional_encoding_2d

BACKWARD = {
    "whole_map": ["whole_map_backward"],
    "whole_row": ["whole_row_dq", "dk", "dv"],
    "flash": ["flash_dq", "dk", "dv"],
}


def explain(function: Callable, *arguments: Any, **options: Any) -> str:
    """Tells what a call would run, without running it.

    Args:
        function: pixel_attention, pixel_attention_block or add_positional_encoding_2d.
        arguments: What it would be called with.
        options: Likewise.

    Returns:
        Plain text: the backend and why; for the kernels, each with its blocks; and what in the
        tensors keeps a faster one away.

    Raises:
        ValueError: Another function, or a call that the function itself would refuse.
    """
    if function not in _EXPLAINERS:
        names = ", ".join(known.__name__ for known in _EXPLAINERS)
        found = getattr(function, "__name__", repr(function))
        raise ValueError(f"explain: found {found}; expected one of {names}")
    return "\n".join(_EXPLAINERS[function](*arguments, **options))


def _pixel_attention(q, k, v, *, bias=None, scale=None, return_attention=False, backend="auto"):
    operator.check(q, k, v, bias)
    q, k, v = to_autocast_type(q, k, v)
    refusal = operator.kernel_refusal(q, k, v)
    lines = _backend_line("pixel_attention", backend, q.device, refusal)
    if lines[0].startswith("pixel_attention: triton"):
        attention = Attention(q, k, v, bias, 1.0)
        lines += _attention_lines(attention, needs_dbias=bias is not None and bias.requires_grad)
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            lines += _stride_notes(name, tensor)
    return lines + _weights_note(return_attention)


def _pixel_attention_block(
    x,
    qkv_weight,
    qkv_bias,
    gamma,
    *,
    key_channels,
    num_heads=1,
    positional_encoding=None,
    scale=None,
    return_attention=False,
    backend="auto",
):
    tensors = (x, qkv_weight, qkv_bias, gamma)
    block_operator.check(*tensors, key_channels, num_heads, positional_encoding)
    qkv_weight, qkv_bias = to_autocast_type(qkv_weight, qkv_bias)
    refusal = block_operator.kernel_refusal(x, qkv_weight, qkv_bias, key_channels, num_heads)
    lines = _backend_line("pixel_attention_block", backend, x.device, refusal)
    if lines[0].startswith("pixel_attention_block: triton"):
        B, C, H, W = x.shape
        q, v = (
            qkv_weight.new_empty(B, num_heads, H * W, width // num_heads, device="meta")
            for width in (key_channels, C)
        )
        lines.append(_row_line("both", _row("projection", x.device, qkv_weight.element_size())))
        attention = Attention(q, q, v, None, 1.0)
        lines += _attention_lines(attention, has_residual=True, device=x.device)
        if x.numel() and token_view(x[:1]).data_ptr() != x.data_ptr():
            lines.append(
                "note: the map's channels do not lie side by side: one transposing pass more; "
                "x.to(memory_format=torch.channels_last) avoids it"
            )
    return lines + _weights_note(return_attention)


def _add_positional_encoding_2d(x, *, backend="auto"):
    encoding_operator.check(x)
    refusal = encoding_operator.kernel_refusal(x)
    lines = _backend_line("add_positional_encoding_2d", backend, x.device, refusal)
    if lines[0].startswith("add_positional_encoding_2d: triton"):
        lines.append(_row_line("forward", _row("add_encoding", x.device, x.element_size())))
        lines.append("backward: nothing to run, the gradient is handed on")
    return lines


_EXPLAINERS = {
    pixel_attention: _pixel_attention,
    pixel_attention_block: _pixel_attention_block,
    add_positional_encoding_2d: _add_positional_encoding_2d,
}


def _backend_line(name: str, backend: str, device: torch.device, refusal: str | None) -> list[str]:
    chosen, reason = choose_backend(name, backend, device, refusal)
    return [f"{name}: {chosen} ({reason})"]


def _attention_lines(
    attention: Attention,
    *,
    needs_dbias: bool = False,
    has_residual: bool = False,
    device: torch.device | None = None,
) -> list[str]:
    Nk, kind = attention.shape[3], attention.regime
    backward = BACKWARD[kind] + (["dbias"] if needs_dbias else [])
    lines = []
    forward = [launch.forward_name(kind, has_residual=has_residual)]
    for direction, names in (("forward", forward), ("backward", backward)):
        for name in names:
            row = attention.row(name, device)
            lines.append(_row_line(direction, row, attention.blocks(row)))
    if kind == "whole_row":
        lines.append(
            f"note: over {launch.MAX_WHOLE_MAP} positions the backward pass takes 3 kernels"
        )
    if kind == "flash":
        lines.append(f"note: no program holds a whole row of {Nk} scores of {attention.q.dtype}")
    return lines


def _row(kernel: str, device: torch.device, itemsize: int) -> kernel_table.Row:
    return kernel_table.find(kernel, kernel_table.architecture_of(device), itemsize)


def _row_line(direction: str, row: kernel_table.Row, blocks: dict[str, int] | None = None) -> str:
    sizes = ", ".join(f"{name} {size}" for name, size in (blocks or row.blocks).items())
    return (
        f"{direction}: {row.kernel} ({sizes}; {row.num_warps} warps, {row.num_stages} stages; "
        f"table row of sm_{row.architecture})"
    )


def _stride_notes(name: str, tensor: torch.Tensor) -> list[str]:
    if tensor.stride(3) == 1 or tensor.shape[3] == 1:
        return []
    return [
        f"note: {name}'s channels do not lie side by side (stride {tensor.stride(3)}): "
        "narrow loads; token-major tensors are the fast ones"
    ]


def _weights_note(return_attention: bool) -> list[str]:
    if not return_attention:
        return []
    return ["note: the weights that are returned, too, come from the reference formula"]
