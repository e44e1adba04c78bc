import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slt_fast.ops.extension import EXTENSION

PROJECT_ROOT = Path(__file__).resolve().parents[1]


def run_setup_with(torch: str) -> subprocess.CompletedProcess:
    """Runs setup.py where `import torch` finds what the expression gives."""
    code = f"import runpy, sys, types; sys.modules['torch'] = {torch}; runpy.run_path('setup.py')"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        ("None", "slt_fast is built against torch, which"),
        ("types.SimpleNamespace(__version__='2.9.1+cpu')", "torch >= 2.11, found 2.9.1+cpu"),
    ],
)
def test_a_build_without_the_right_torch_says_what_to_do(torch, reason) -> None:
    result = run_setup_with(torch)
    assert result.returncode != 0
    assert reason in result.stderr
    assert "pip install --no-build-isolation" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm, a part of binutils")
def test_extension_fits_every_torch_and_python() -> None:
    assert EXTENSION is not None, "the extension is not built: run `make setup`"
    assert EXTENSION.name == "_C.abi3.so"
    command = ["nm", "--dynamic", "--undefined-only", str(EXTENSION)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split()[-1] for line in lines]
    assert "torch_parallel_for" in names
    # The C++ functions of ATen and c10 change with each torch, those of Python with each Python.
    assert [
        name for name in names if name.startswith(("_ZN2at", "_ZN3c10", "_ZNK3c10", "Py"))
    ] == []
