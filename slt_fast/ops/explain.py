"""Explains which kernels a call would take, and why not faster ones."""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from slt_fast.ops.backend import choose_backend
from slt_fast.ops.launching import Call, Launch, Plan
from slt_fast.ops.pixel_attention import operator, plan
from slt_fast.ops.pixel_attention.attention import regime
from slt_fast.ops.pixel_attention.operator import pixel_attention, to_autocast_type
from slt_fast.ops.pixel_attention.reference import additive
from slt_fast.ops.pixel_attention_block import operator as block_operator
from slt_fast.ops.pixel_attention_block import plan as block_plan
from slt_fast.ops.pixel_attention_block.operator import pixel_attention_block
from slt_fast.ops.pixel_attention_block.sums import Needed
from slt_fast.ops.positional_encoding import operator as encoding_operator
from slt_fast.ops.positional_encoding.operator import add_positional_encoding_2d


def explain(function: Callable, *arguments: Any, **options: Any) -> str:
    """Prints the plan of a call as text, without running it.

    Args:
        function: pixel_attention, pixel_attention_block or add_positional_encoding_2d.
        arguments: Positional arguments of the call.
        options: Keyword arguments of the call.

    Returns:
        The backend and the reason for it, then each kernel with its blocks and each product by
        torch, the workspace, and what in the tensors prevents a faster kernel.

    Raises:
        TypeError: A call that the function itself would refuse.
        ValueError: Another function, or a call that the function itself would refuse.
    """
    if function not in _EXPLAINERS:
        names = ", ".join(known.__name__ for known in _EXPLAINERS)
        found = getattr(function, "__name__", repr(function))
        raise ValueError(f"explain: found {found}; expected one of {names}")
    call = inspect.signature(function).bind(*arguments, **options)
    call.apply_defaults()
    return "\n".join(_EXPLAINERS[function](**call.arguments))


def _pixel_attention(q, k, v, bias, scale, backend):
    operator.check(q, k, v, bias)
    q, k, v = to_autocast_type(q), to_autocast_type(k), to_autocast_type(v)
    refusal = operator.kernel_refusal(q, k, v)
    lines, is_fused = _backend_line("pixel_attention", backend, q.device, refusal)
    if is_fused:
        if bias is not None:
            bias, _ = additive(bias, q.dtype)
        forward = plan.forward_plan.plan(q.device, q, k, v, bias, 1.0)
        out, row_statistics = forward.memory["out"], forward.memory.get("row_statistics")
        needs_dbias = bias is not None and bias.requires_grad
        arguments = (out, q, k, v, bias, out, row_statistics, 1.0, needs_dbias)
        backward = plan.backward_plan.plan(q.device, *arguments)
        lines += _plan_lines("forward", forward) + _plan_lines("backward", backward)
        lines += _regime_notes(q.shape[2], k.shape[2], q.dtype)
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            lines += _stride_notes(name, tensor)
    return lines


def _pixel_attention_block(x, qkv_weight, qkv_bias, gamma, key_channels, num_heads, **others):
    tensors, encoding = (x, qkv_weight, qkv_bias, gamma), others["positional_encoding"]
    block_operator.check(*tensors, key_channels, num_heads, encoding)
    weight, bias = to_autocast_type(qkv_weight), to_autocast_type(qkv_bias)
    refusal = block_operator.kernel_refusal(x, weight, bias, key_channels, num_heads)
    lines, is_fused = _backend_line("pixel_attention_block", others["backend"], x.device, refusal)
    if is_fused:
        settings = (key_channels, num_heads, 1.0)
        given = (x, weight, bias, gamma, encoding, *settings, True, True)
        forward = block_plan.forward_plan.plan(x.device, *given)
        saved = [forward.memory.get(name) for name in ("qkv", "attended", "row_statistics")]
        learns_encoding = encoding is not None and encoding.requires_grad
        needed = Needed(True, True, bias is not None, True, learns_encoding)
        given = (x, x, weight, gamma, encoding, *saved, *settings, needed)
        backward = block_plan.backward_plan.plan(x.device, *given)
        lines += _plan_lines("forward", forward) + _plan_lines("backward", backward)
        N = x.shape[2] * x.shape[3]
        lines += _regime_notes(N, N, weight.dtype)
        if "tokens" in forward.memory:
            lines.append(
                "note: the map's channels are not adjacent in memory: one more transposing pass; "
                "x.to(memory_format=torch.channels_last) avoids it"
            )
    return lines


def _add_positional_encoding_2d(x, backend):
    encoding_operator.check(x)
    refusal = encoding_operator.kernel_refusal(x)
    lines, is_fused = _backend_line("add_positional_encoding_2d", backend, x.device, refusal)
    if is_fused:
        forward = encoding_operator.encoding_plan.plan(x.device, x)
        lines += _plan_lines("forward", forward)
        lines.append("backward: nothing to run, the gradient is handed on")
    return lines


_EXPLAINERS: dict[Callable, Callable[..., list[str]]] = {
    pixel_attention: _pixel_attention,
    pixel_attention_block: _pixel_attention_block,
    add_positional_encoding_2d: _add_positional_encoding_2d,
}


def _backend_line(
    name: str, backend: str, device: torch.device, refusal: str | None
) -> tuple[list[str], bool]:
    """Returns the first line, and whether the kernels run."""
    chosen, reason = choose_backend(name, backend, device, refusal)
    return [f"{name}: {chosen} ({reason})"], chosen == "triton"


def _plan_lines(direction: str, planned: Plan) -> list[str]:
    """Describes each step once, and how often it runs, as a call takes some maps at a time."""
    texts = Counter(map(_step_text, planned.steps))
    lines = [
        f"{direction}: {text}" + (f", {number} times" if number > 1 else "")
        for text, number in texts.items()
    ]
    workspace = planned.memory.get("workspace")
    if workspace is not None:
        lines.append(
            f"note: a workspace of {workspace.nbytes / 2**20:.1f} MiB {direction}; "
            f"slt_fast.ops.set_workspace_limit allows {plan.workspace_limit() / 2**20:.1f}"
        )
    return lines


def _step_text(step: Launch | Call) -> str:
    if isinstance(step, Call):
        sizes = ", ".join(str(list(view.sizes)) for view in step.views)
        return f"{step.function.__name__.strip('_')} by torch ({sizes})"
    row = step.row
    sizes = ", ".join(f"{name} {size}" for name, size in step.blocks.items())
    return (
        f"{row.kernel} ({sizes}; {step.num_programs} programs of {row.num_warps} warps, "
        f"{row.num_stages} stages; table row of sm_{row.architecture})"
    )


def _regime_notes(Nq: int, Nk: int, dtype: torch.dtype) -> list[str]:
    if regime(Nq, Nk, dtype) == "flash":
        return [f"note: no program holds a whole row of {Nk} scores of {dtype}"]
    return []


def _stride_notes(name: str, tensor: torch.Tensor) -> list[str]:
    if tensor.stride(3) == 1 or tensor.shape[3] == 1:
        return []
    return [
        f"note: {name}'s channels are not adjacent in memory (stride {tensor.stride(3)}): "
        "narrow loads; token-major tensors are the fast ones"
    ]
