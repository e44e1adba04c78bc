"""The machine and its software, without which no figure means anything."""

import os
import platform
import re
from pathlib import Path

import torch
import triton

import slt_fast

CPU_FACTS = Path("/proc/cpuinfo")


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
    return facts | {
        "slt_fast": slt_fast.__version__,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "Python": platform.python_version(),
    }


def _processor() -> str:
    facts = CPU_FACTS.read_text(encoding="utf-8") if CPU_FACTS.exists() else ""
    found = re.search(r"model name\s*: (.*)", facts)
    return found.group(1) if found else platform.processor() or platform.machine()
