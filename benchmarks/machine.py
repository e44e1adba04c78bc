"""The machine and its software, without which no figure means anything."""

import os
import platform
import re
from pathlib import Path

import torch
import triton

import slt_fast


def describe(device: str) -> dict[str, object]:
    """Returns the device's name and size, and the versions of the software."""
    facts: dict[str, object] = {"device": _processor(), "cores": os.cpu_count()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "CUDA": torch.version.cuda,
            "multiprocessors": properties.multi_processor_count,
            "L2 bytes": properties.L2_cache_size,
            "memory bytes": properties.total_memory,
        }
    versions = {"slt_fast": slt_fast.__version__, "torch": torch.__version__}
    return facts | versions | {"triton": triton.__version__, "Python": platform.python_version()}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = path.exists() and re.search(r"model name\s*: (.*)", path.read_text(encoding="utf-8"))
    return found.group(1) if found else platform.processor() or platform.machine()
