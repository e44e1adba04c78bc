"""Prints what is installed, what is built and what will run: `python -m slt_fast.info`."""

import importlib.metadata
import platform

import torch

from slt_fast.ops.backend import choose_backend
from slt_fast.ops.extension import built_for
from slt_fast.ops.optical_flow import choose_flow_backend
from slt_fast.version import __version__

PACKAGES = ("torchvision", "triton", "numpy")
ATTENTION_OPERATORS = ("pixel_attention", "add_positional_encoding_2d", "pixel_attention_block")


def describe() -> str:
    """Describes versions, device, extension and the backend of each operator, one a line."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [
        ("slt_fast", __version__),
        ("Python", platform.python_version()),
        ("torch", torch.__version__),
        *((name, _version(name)) for name in PACKAGES),
        ("OpenCV", _opencv()),
        ("device", _device()),
        ("extension", built_for()),
        ("optical_flow", ": ".join(choose_flow_backend(device=device))),
    ]
    rows += [
        (name, ": ".join(choose_backend(name, "auto", device, None)))
        for name in ATTENTION_OPERATORS
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _opencv() -> str:
    try:
        import cv2
    except ImportError as error:  # includes missing window libraries of opencv-python
        return f"cannot be imported: {error}"
    return cv2.__version__


def _device() -> str:
    if not torch.cuda.is_available():
        return f"no CUDA GPU; CPU with {torch.get_num_threads()} threads"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)


if __name__ == "__main__":
    print(describe())
