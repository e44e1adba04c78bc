"""Where and in which precision a model runs."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch

from slt_fast.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Returns the device of this name.

    Args:
        name: "auto" (the GPU if there is one, and each process of torchrun its own), "cpu", "cuda"
            or "cuda:N".

    Raises:
        UserError: torch finds no such device here.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ["cpu", *["cuda"][:num_gpus], *(f"cuda:{index}" for index in range(num_gpus))]
    if name == "auto" and num_gpus and "LOCAL_RANK" in os.environ:
        name = f"cuda:{int(os.environ['LOCAL_RANK']) % num_gpus}"
    elif name == "auto":
        name = "cuda" if num_gpus else "cpu"
    if name not in names:
        expected = f"auto or one that torch finds here: {', '.join(names)}"
        raise UserError(f"device: found {name!r}; expected {expected}")
    return torch.device(name)


def hardware_name(device: torch.device) -> str:
    """Returns the name of a GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    path = Path("/proc/cpuinfo")
    found = path.exists() and re.search(r"model name\s*: (.*)", path.read_text(encoding="utf-8"))
    return found.group(1) if found else platform.processor() or platform.machine()


def keep_compiled_convolutions() -> None:
    """Lets oneDNN keep the code it compiles for each number of frames.

    Its 1024 entries are too few for batches of all lengths, which costs 7 % of the quickstart's
    step on a CPU. A value set in the environment wins.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")


def computes_bfloat16(device: torch.device) -> bool:
    """Returns whether the hardware itself computes in bfloat16, so that autocast is a gain."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Returns the autocast context of a precision: "auto", "float32" or "bfloat16"."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision: found {precision!r}; expected auto, float32 or bfloat16")
    enabled = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copies a tensor to a device, in order with its work; the host waits for no GPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # other memory is copied only when the GPU has caught up
    return tensor.to(device, non_blocking=True)
