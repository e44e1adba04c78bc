"""Adds the sinusoidal encoding of rows and columns, see encoding.py, to maps.

The gradient is the identity.
"""

from collections.abc import Callable
from typing import Any

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.backend import KERNEL_DTYPES, check_tensors, choose_backend
from slt_fast.ops.calls import Calls, Prepared
from slt_fast.ops.launching import Plan, Planner, Plans, ceil_divide, empty_map, memory_format
from slt_fast.ops.positional_encoding.encoding import kept_encoding
from slt_fast.ops.registering import define


def add_positional_encoding_2d(x: torch.Tensor, *, backend: str = "auto") -> torch.Tensor:
    """Adds the encoding of rows and columns to each map.

    Args:
        x: [B, C, H, W] floating point, either memory format; C divisible by 4.
        backend: "auto", "reference" or "triton"; slt_fast.ops.explain shows the choice of "auto".

    Returns:
        [B, C, H, W] in the type and memory format of x.

    Raises:
        TypeError: x is not a tensor.
        ValueError: Wrong shape or type, C not divisible by 4, or a backend that cannot run.
    """
    return _calls.run((x,), backend)


def _prepare(tensors: tuple, backend: str) -> Prepared:
    """Checks a call, and returns what computes it."""
    (x,) = tensors
    check(x)
    refusal = kernel_refusal(x)
    chosen, _ = choose_backend("add_positional_encoding_2d", backend, x.device, refusal)
    return add_positional_encoding_2d_reference if chosen == "reference" else _fused(), ()


_calls = Calls(_prepare)


def check(x: torch.Tensor) -> None:
    """Raises TypeError or ValueError if x is no floating-point map [B, C, H, W], C = 4 n."""
    check_tensors("add_positional_encoding_2d", {"x": x})
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"add_positional_encoding_2d: found {x.dtype} of {list(x.shape)}; "
            "expected a floating-point tensor [B, C, H, W]"
        )
    if x.shape[1] % 4 or not x.shape[1]:
        found = f"found {x.shape[1]} channels; expected a multiple of 4"
        raise ValueError(f"add_positional_encoding_2d: {found}")


def add_positional_encoding_2d_reference(x: torch.Tensor) -> torch.Tensor:
    """Computes the sum in plain PyTorch."""
    return x + _encoding_of(x)


def kernel_refusal(x: torch.Tensor) -> str | None:
    """Returns why the kernel cannot take this tensor on any machine; None if it can."""
    if x.dtype not in KERNEL_DTYPES:
        return f"found {x.dtype}, the kernel takes float32, float16 and bfloat16"
    return None if x.numel() else "there is nothing to compute"


@Planner
def encoding_plan(plan: Plan, x: torch.Tensor) -> None:
    """Plans `out` = x + encoding."""
    from slt_fast.ops.positional_encoding.add_encoding_kernel import add_encoding_kernel

    B, C, H, W = x.shape
    architecture = kernel_table.architecture_of(plan.device)
    row = kernel_table.find("add_encoding", architecture, x.element_size())
    size, layout = C * H * W, memory_format(x)
    if not x[0:1].is_contiguous(memory_format=layout):
        dense = plan.allocate("dense", empty_map(x))
        plan.call(torch.Tensor.copy_, dense, x)  # a map with holes costs one more pass
        x = dense
    encoding = kept_encoding(C, H, W, x.dtype, plan.device, layout == torch.channels_last)
    plan.launch(
        add_encoding_kernel,
        row,
        ceil_divide(size, row.blocks["BLOCK"]) * ceil_divide(B, row.blocks["MAPS"]),
        x=x,
        encoding=plan.keep("encoding", encoding),
        out=plan.allocate("out", empty_map(x)),
        B=B,
        size=size,
        x_stride=x.stride(0),
    )


def _kernels(plans: Plans, x: torch.Tensor) -> torch.Tensor:
    return plans.run(encoding_plan, x.device, x)["out"]


def _encoding_of(x: torch.Tensor) -> torch.Tensor:
    """Returns the encoding in the memory format of x: a sum of two formats takes twice as long."""
    _, C, H, W = x.shape
    return kept_encoding(C, H, W, x.dtype, x.device, x.stride(1) == 1)


def _vmap(operator: Callable, info: Any, in_dims: tuple, x: torch.Tensor) -> tuple:
    """Maps the operator over a dimension by making it a part of the batch."""
    out = operator(x.movedim(in_dims[0], 0).flatten(0, 1))
    return out.unflatten(0, (info.batch_size, -1)), 0


_fused = define(
    "add_positional_encoding_2d",
    kernels=_kernels,
    reference=add_positional_encoding_2d_reference,
    memory=empty_map,
    backward=None,
    vmap=_vmap,
)
