"""Loads the compiled extension slt_fast._C; its operators are then in torch.ops.slt_fast."""

import functools
import sys
from pathlib import Path

import torch

# The oldest GPUs that the kernels are compiled for.
MINIMUM_CAPABILITY = (8, 0)

PACKAGE = Path(__file__).parents[1]


def _load(package: Path) -> tuple[Path | None, str]:
    """Returns the extension's file and "", or None and why it cannot be used."""
    path = next(package.glob("_C*.so"), None)
    if path is None:
        return None, f"the extension is not built in {package}; {_how_to_build(package)}"
    try:
        torch.ops.load_library(path)
    except OSError as error:
        reason = error.__cause__ or error  # torch's own error names the file only
        return None, (
            f"the extension does not load with torch {torch.__version__} ({reason}); build it "
            "again: `pip install --no-build-isolation --force-reinstall --no-deps .` in the sources"
        )
    return path, ""


def _how_to_build(package: Path) -> str:
    for folder in sys.path:
        other = Path(folder, package.name).resolve()
        if other != package.resolve() and any(other.glob("_C*.so")):
            return (
                f"these sources hide the built package in {other}: start Python in another folder, "
                "or build them with `pip install --no-build-isolation --editable .`"
            )
    return "`make setup` builds it"


# None if it is not built or does not load; REFUSAL then says why.
EXTENSION, REFUSAL = _load(PACKAGE)

if EXTENSION is not None:

    @torch.library.register_fake("slt_fast::rgb_to_grey")
    def _rgb_to_grey_fake(frames: torch.Tensor) -> torch.Tensor:
        _check_fake(frames, frames.ndim == 4 and frames.shape[3] == 3, "[T, H, W, 3]")
        return frames.new_empty(frames.shape[:3])

    @torch.library.register_fake("slt_fast::disvr")
    def _flow_fake(frames: torch.Tensor, *settings: int) -> torch.Tensor:
        _check_fake(frames, frames.ndim == 3, "[T, H, W]")
        T, H, W = frames.shape
        return frames.new_empty((T - 1, 2, H, W), dtype=torch.float32)

    def _check_fake(frames: torch.Tensor, fits: bool, expected: str) -> None:
        torch._check(
            fits and frames.dtype == torch.uint8,
            lambda: (
                f"found {frames.dtype} of {list(frames.shape)}; frames must be uint8 {expected}"
            ),
        )

    def _refuse(frames: torch.Tensor | None, *settings: int) -> torch.Tensor:
        """Takes what neither the CPU's operators nor the GPU's take."""
        found = "no tensor"
        if frames is not None:
            kind = "a nested tensor" if frames.is_nested else f"{frames.dtype} {frames.layout}"
            found = f"{kind} on {frames.device.type}"
            if frames.is_cuda:
                found += f" ({cuda_refusal(frames.device)})"
        raise RuntimeError(f"found {found}; frames must be dense uint8, on the CPU or a GPU")

    # Without it torch lists its 40 kinds of tensors.
    _FALLBACK = torch.library.Library("slt_fast", "IMPL")
    for _name in ("rgb_to_grey", "disvr"):
        for _kind in ("CompositeExplicitAutograd", "NestedTensor", "AutogradNestedTensor"):
            _FALLBACK.impl(_name, _refuse, _kind)


def built_for() -> str:
    """Returns what the extension was built for, and why for no more."""
    if EXTENSION is None:
        return REFUSAL
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
        return REFUSAL
    if not torch._C._dispatch_has_kernel_for_dispatch_key("slt_fast::disvr", "CUDA"):
        return f"its kernels are not built: the extension is for {torch.ops.slt_fast.built_for()}"
    if not torch.cuda.is_available():
        return "torch.cuda finds no GPU for its kernels"
    found = torch.cuda.get_device_capability(index)
    if found < MINIMUM_CAPABILITY:
        return "the GPU has compute capability {}.{}, its kernels need 8.0".format(*found)
    return None
