"""Loads the compiled extension slt_fast._C; its operators are then in torch.ops.slt_fast."""

import functools
from pathlib import Path

import torch

# The oldest GPUs that the kernels are compiled for.
MINIMUM_CAPABILITY = (8, 0)

# None if the package runs from sources that were not built.
EXTENSION: Path | None = next(Path(__file__).parents[1].glob("_C*.so"), None)

if EXTENSION is not None:
    torch.ops.load_library(EXTENSION)

    @torch.library.register_fake("slt_fast::rgb_to_grey")
    def _rgb_to_grey_fake(frames: torch.Tensor) -> torch.Tensor:
        return frames.new_empty(frames.shape[:3])

    @torch.library.register_fake("slt_fast::disvr")
    def _flow_fake(frames: torch.Tensor, *settings: int) -> torch.Tensor:
        T, H, W = frames.shape
        return frames.new_empty((T - 1, 2, H, W), dtype=torch.float32)


def built_for() -> str:
    """Returns what the extension was built for, and why for no more."""
    if EXTENSION is None:
        return "not built: plain PyTorch takes its place; `make setup` builds it"
    return f"{EXTENSION.name}, for {torch.ops.slt_fast.built_for()}"


def cuda_refusal(device: torch.device | None = None) -> str | None:
    """Returns why the extension's kernels cannot run on a GPU, or None if they can.

    No device, or one of another type, means the current GPU.
    """
    index = device.index if device is not None and device.type == "cuda" else None
    return _cuda_refusal(index)


@functools.cache
def _cuda_refusal(index: int | None) -> str | None:
    if EXTENSION is None:
        return "the extension is not built; `make setup` builds it"
    if not torch._C._dispatch_has_kernel_for_dispatch_key("slt_fast::disvr", "CUDA"):
        return f"its kernels are not built: the extension is for {torch.ops.slt_fast.built_for()}"
    if not torch.cuda.is_available():
        return "torch.cuda finds no GPU for its kernels"
    found = torch.cuda.get_device_capability(index)
    if found < MINIMUM_CAPABILITY:
        return "the GPU has compute capability {}.{}, its kernels need 8.0".format(*found)
    return None
