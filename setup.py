"""Builds the extension slt_fast._C; everything else about the package stands in pyproject.toml."""

import site
import sys
from pathlib import Path

from setuptools import setup

HOW_TO = (
    "Install torch first (pytorch.org tells which build suits your machine), then setuptools>=77 "
    "and wheel, and run `pip install --no-build-isolation .`"
)

# pip's isolated build hides the environment that the package goes into, but the torch to build
# against is the one in there: look for it, after everything else.
sys.path.extend(site.getsitepackages())
try:
    import torch
except ModuleNotFoundError as error:
    sys.exit(f"slt_fast is built against torch, which {sys.prefix} lacks ({error}). {HOW_TO}")
if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11):
    sys.exit(f"slt_fast is built against torch >= 2.11, found {torch.__version__}. {HOW_TO}")

from torch.utils.cpp_extension import BuildExtension, CppExtension  # noqa: E402

extension = CppExtension(
    "slt_fast._C",
    sorted(str(path) for path in Path("csrc").rglob("*.cpp")),
    depends=sorted(str(path) for path in Path("csrc").rglob("*.h")),
    # LibTorch's stable ABI as of torch 2.10: one build serves every later torch and every Python.
    define_macros=[("TORCH_TARGET_VERSION", "0x020a000000000000")],
    # Square roots set no errno and comparisons no flags, or their loops stay scalar; the results
    # are the same. Our vectors stay inside: no warning of their calling convention is needed.
    extra_compile_args=[
        "-O3",
        "-fvisibility=hidden",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-Wno-psabi",
    ],
    py_limited_api=True,
)

setup(
    ext_modules=[extension],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
