"""Adds the sinusoidal encoding of rows and columns to maps; the table stands in encoding.py.

An eager call goes straight to the kernel; one that is traced or transformed by torch.func goes
through torch.ops.slt_fast.add_positional_encoding_2d. The gradient is the identity.
"""

from __future__ import annotations

from functools import partial

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.backend import KERNEL_DTYPES, choose_backend
from slt_fast.ops.positional_encoding.encoding import kept_encoding


def add_positional_encoding_2d(x: torch.Tensor, *, backend: str = "auto") -> torch.Tensor:
    """Adds the encoding of rows and columns to each map.

    Args:
        x: [B, C, H, W] floating point, either memory format; C divisible by 4.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain tells what "auto" takes.

    Returns:
        [B, C, H, W] in the type and memory format of x.

    Raises:
        ValueError: Another shape or type, C not divisible by 4, or a backend that cannot run.
    """
    check(x)
    refusal = kernel_refusal(x)
    chosen, _ = choose_backend("add_positional_encoding_2d", backend, x.device, refusal)
    if chosen == "reference":
        return add_positional_encoding_2d_reference(x)
    if torch.compiler.is_compiling():
        return torch.ops.slt_fast.add_positional_encoding_2d(x)
    return _AddPositionalEncoding2d.apply(x)


def check(x: torch.Tensor) -> None:
    """Whether a tensor can be encoded.

    Raises:
        ValueError: It cannot.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"add_positional_encoding_2d: found {x.dtype} of {list(x.shape)}; "
            "expected a floating-point tensor [B, C, H, W]"
        )
    if x.shape[1] % 4 or not x.shape[1]:
        found = f"found {x.shape[1]} channels; expected a multiple of 4"
        raise ValueError(f"add_positional_encoding_2d: {found}")


def add_positional_encoding_2d_reference(x: torch.Tensor) -> torch.Tensor:
    """The sum in plain PyTorch."""
    return x + _encoding_of(x)


def kernel_refusal(x: torch.Tensor) -> str | None:
    """Why the kernel cannot take this tensor, on whatever machine; None if it can."""
    if x.dtype not in KERNEL_DTYPES:
        return f"found {x.dtype}, the kernel takes float32, float16 and bfloat16"
    return None if x.numel() else "there is nothing to compute"


class _AddPositionalEncoding2d(torch.autograd.Function):
    """The kernel in eager mode, with the transforms of torch.func."""

    @staticmethod
    def forward(x):
        return _launch(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient

    @staticmethod
    def vmap(info, in_dims, x):
        return _vmap(_AddPositionalEncoding2d.apply, info, in_dims, x)


def _launch(x: torch.Tensor) -> torch.Tensor:
    from slt_fast.ops.positional_encoding.add_encoding_kernel import add_encoding_kernel

    B, C, H, W = x.shape
    out = _empty_output(x)
    memory_format = _memory_format(x)
    if B and not x[0:1].is_contiguous(memory_format=memory_format):
        x = x.contiguous(memory_format=memory_format)  # a map with holes: one pass more
    encoding = _encoding_of(x)
    row = kernel_table.find(
        "add_encoding", kernel_table.architecture_of(x.device), x.element_size()
    )
    size = C * H * W
    blocks = -(-size // row.blocks["BLOCK"])
    kernel_table.launch(
        add_encoding_kernel,
        blocks * -(-B // row.blocks["MAPS"]),
        row,
        x.device,
        x=x,
        encoding=encoding,
        out=out,
        B=B,
        size=size,
        x_stride=x.stride(0),
    )
    return out


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    """channels_last where the channels of a position lie side by side, as x would say itself."""
    C, H, W = x.shape[1:]
    return (
        torch.channels_last if x.stride(1) == 1 and C > 1 and H * W > 1 else torch.contiguous_format
    )


def _encoding_of(x: torch.Tensor) -> torch.Tensor:
    """The encoding in the memory format of x: a sum of two formats takes twice as long."""
    return kept_encoding(*x.shape[1:], x.dtype, x.device, x.stride(1) == 1)


def _empty_output(x: torch.Tensor) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=_memory_format(x))


@torch.library.custom_op(
    "slt_fast::add_positional_encoding_2d", mutates_args=(), device_types="cuda"
)
def _add_positional_encoding_2d_op(x: torch.Tensor) -> torch.Tensor:
    return _launch(x)


@_add_positional_encoding_2d_op.register_kernel("cpu")
def _cpu(x):
    return _empty_output(x).copy_(add_positional_encoding_2d_reference(x))


@_add_positional_encoding_2d_op.register_fake
def _fake(x):
    return _empty_output(x)


def _vmap(operator, info, in_dims, x):
    """Maps the operator over a dimension, which becomes a part of the batch."""
    out = operator(x.movedim(in_dims[0], 0).flatten(0, 1))
    return out.unflatten(0, (info.batch_size, -1)), 0


_add_positional_encoding_2d_op.register_vmap(
    partial(_vmap, torch.ops.slt_fast.add_positional_encoding_2d)
)
_add_positional_encoding_2d_op.register_autograd(lambda ctx, gradient: gradient)
