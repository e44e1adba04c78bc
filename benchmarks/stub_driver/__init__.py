"""Triton's own driver code over a CUDA driver that does nothing, for the CPU's share of a launch.

Kernels are compiled for an H100 and started with tensors of the CPU; none of them runs.
"""

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("libcuda.c")


def activate() -> None:
    """Makes Triton start kernels through the stub, and the operators take tensors of the CPU.

    Before Triton is imported; for programs that do nothing else, as nothing undoes it.

    Raises:
        OSError, subprocess.CalledProcessError: There is no C compiler.
    """
    os.environ.pop("TRITON_INTERPRET", None)
    folder = Path(tempfile.mkdtemp(prefix="stub_driver_"))
    library = folder / "libcuda.so.1"
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-O1", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o"]
    subprocess.run([*command, str(library), str(SOURCE)], check=True)
    os.environ["TRITON_LIBCUDA_PATH"] = str(folder)
    os.environ["TRITON_CACHE_DIR"] = str(folder / "cache")
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    _set_active()
    _accept_cpu()


def _set_active() -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia import driver

    class StubDriver(driver.CudaDriver):
        def __init__(self) -> None:
            self.utils = driver.CudaUtils()
            self.launcher_cls = driver.CudaLauncher
            self.get_device_capability = lambda device=None: (9, 0)
            self.get_current_stream = lambda index: 0
            self.get_current_device = lambda: 0
            self.set_current_device = lambda index: None

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 90, 32)

    triton.runtime.driver.set_active(StubDriver())


def _accept_cpu() -> None:
    """Lets `backend="triton"` take tensors of the CPU, as the interpreter does."""
    from slt_fast.ops import backend, kernel_table

    backend.interprets = kernel_table.interprets = lambda: True
    assert backend.machine_refusal(torch.device("cpu")) is None
