"""Where and in which precision a model runs."""

from __future__ import annotations

import os

import torch


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name.

    Args:
        name: "auto" (the GPU if there is one; of several processes that torchrun starts, each its
            own), or what torch.device takes.

    Raises:
        ValueError: A name that torch does not know, or a GPU where there is none.
    """
    if name == "auto" and torch.cuda.is_available():
        rank = os.environ.get("LOCAL_RANK")
        index = None if rank is None else int(rank) % torch.cuda.device_count()
        return torch.device("cuda", index)
    if name == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device: found {name!r}; expected auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: found {name!r}; expected cpu, as torch finds no CUDA GPU here")
    return device


def keep_compiled_convolutions() -> None:
    """Lets oneDNN keep the code that it makes for each number of frames, unless told otherwise.

    Its 1024 entries are too few for batches of all lengths: 7 % of the quickstart's step on a CPU.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the hardware itself computes in bfloat16, so that autocast is a gain."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """The autocast context of a precision: "auto", "float32" or "bfloat16"."""
    enabled = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
