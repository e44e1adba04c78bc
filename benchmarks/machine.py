"""The machine and its software, without which no figure means anything."""

import os
import platform

import torch
import triton

import slt_fast
from slt_fast.device import hardware_name


def describe(device: str) -> dict[str, object]:
    """Returns the device's name and size, and the versions of the software."""
    name = hardware_name(torch.device(device))
    facts: dict[str, object] = {"device": name, "cores": os.cpu_count()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "CUDA": torch.version.cuda,
            "multiprocessors": properties.multi_processor_count,
            "L2 bytes": properties.L2_cache_size,
            "memory bytes": properties.total_memory,
        }
    versions = {"slt_fast": slt_fast.__version__, "torch": torch.__version__}
    return facts | versions | {"triton": triton.__version__, "Python": platform.python_version()}
