"""Chooses the backend of an operator, and says why."""

import functools
import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from slt_fast.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Any])

BACKENDS = ("auto", "reference", "triton")
# Data-centre GPUs (A100, H100, B200) have it; the block sizes are for them. Others have 99 KiB.
SHARED_MEMORY = 163 * 1024
KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def choose_backend(
    operator: str, backend: str, device: torch.device, refusal: str | None
) -> tuple[str, str]:
    """Chooses what computes an operator; logs the choice of "auto" once.

    Args:
        operator: Name of the operator, for errors.
        backend: "auto" (the kernels on a GPU if they can run), "reference" (plain PyTorch) or
            "triton".
        device: Device of the tensors.
        refusal: Why the kernels cannot take these tensors on any machine; None if they can.

    Returns:
        The name of the backend, and the reason.

    Raises:
        UserError: The named backend is unknown or cannot run.
    """
    if backend not in BACKENDS:
        raise UserError(f"{operator}: found backend {backend!r}; expected one of {BACKENDS}")
    if backend == "reference":
        return "reference", "asked for"
    refusal = machine_refusal(device) or refusal
    if backend == "triton":
        if refusal:
            raise UserError(
                f"{operator}: backend 'triton' cannot run on {device.type}: {refusal}; "
                "use 'reference' or 'auto'"
            )
        return "triton", "asked for"
    if refusal is None and device.type == "cuda":
        choice = "triton", "fused kernels on a GPU"
    else:
        choice = "reference", refusal or "the interpreter is only for checking numbers"
    if not torch.compiler.is_compiling():  # a log line would break the graph
        _log_choice(operator, *choice)
    return choice


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Returns the type of autocast if that is on for a device; autocast knows no meta device."""
    kind = device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def check_tensors(operator: str, tensors: dict[str, Any], optional: tuple[str, ...] = ()) -> None:
    """Raises TypeError or ValueError if one is no dense tensor on the device of the first.

    The optional ones may be None.
    """
    device, dense = None, torch.strided
    for name, tensor in tensors.items():
        if tensor is None and name in optional:
            continue
        if not isinstance(tensor, torch.Tensor):
            found = f"found {name} of type {type(tensor).__name__}; expected a torch.Tensor"
            raise TypeError(f"{operator}: {found}")
        if tensor.layout is not dense or tensor.is_nested:
            kind = "a nested tensor" if tensor.is_nested else f"a tensor of {tensor.layout}"
            raise ValueError(f"{operator}: found {name}, {kind}; expected a dense tensor")
        if device is None:
            device = tensor.device
        elif tensor.device != device:
            found = f"found {name} on {tensor.device}"
            raise ValueError(f"{operator}: {found}; expected {device}, as its first tensor")


def constant_in_graphs(function: Function) -> Function:
    """Lets a graph hold what a function answers while it is traced, always for one device.

    Does what torch.compiler.assume_constant_result does, without importing the whole compiler.
    """
    vars(function)["_dynamo_marked_constant"] = True
    return function


@constant_in_graphs
def machine_refusal(device: torch.device) -> str | None:
    """Returns why Triton's kernels cannot run on a device; None if they can."""
    return _machine_refusal(device)


@functools.cache
def _machine_refusal(device: torch.device) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major < 8:
            return f"the GPU has compute capability {major}.{minor}, the kernels need 8.0"
        properties: Any = torch.cuda.get_device_properties(device)
        memory = properties.shared_memory_per_block_optin
        if memory < SHARED_MEMORY:
            return (
                f"the GPU has {memory} bytes of shared memory a block, the kernels {SHARED_MEMORY}"
            )
        return None
    if device.type in ("cpu", "meta") and interprets():
        return None
    if device.type == "cpu":
        return "Triton compiles for GPUs; TRITON_INTERPRET=1 in the environment interprets"
    return f"the kernels are for CUDA GPUs, not for {device.type}"


@functools.cache
def interprets() -> bool:
    """Returns whether Triton interprets kernels on the CPU, to check their numbers."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


@functools.cache
def _log_choice(operator: str, backend: str, reason: str) -> None:
    logging.getLogger(__name__).info("%s: backend %s (%s)", operator, backend, reason)
