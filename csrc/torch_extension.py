"""The extension slt_fast._C and the command that builds it, for setup.py."""

import os
import sys
from pathlib import Path

import torch
from cuda_toolkit import SWITCH, choose_toolkit
from torch.utils import cpp_extension

try:
    toolkit, built_for = choose_toolkit(os.environ, torch.version.cuda, cpp_extension.CUDA_HOME)
except ValueError as error:
    sys.exit(str(error))
print(f"slt_fast is built for {built_for}", file=sys.stderr)

# LibTorch's stable ABI as of torch 2.10: one build works with every later torch and every Python.
macros = [("TORCH_TARGET_VERSION", "0x020a000000000000"), ("SLT_FAST_BUILT_FOR", f'"{built_for}"')]
# Loops vectorise only if square roots set no errno and comparisons no flags; the results are the
# same. Python's own -fwrapv costs 3 % of the flow's speed. No function outside takes our vectors,
# so warnings about their calling convention are off.
compile_arguments = {
    "cxx": [
        "-O3",
        "-fvisibility=hidden",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fno-wrapv",
        "-Wno-psabi",
    ]
}
sources = {path for path in Path("csrc").rglob("*.cpp") if "cuda" not in path.parts}
link_arguments = []
if toolkit:
    cpp_extension.CUDA_HOME = str(toolkit.root)  # its guess may be a folder without a toolkit
    macros.append(("USE_CUDA", None))
    compile_arguments["nvcc"] = [
        "-O3",
        "--threads=2",
        "--compiler-options=-fvisibility=hidden",
        f"-I{toolkit.include}",
        *toolkit.architecture_flags(),
    ]
    sources |= set(Path("csrc").rglob("cuda/*.c*"))
    # The CUDA runtime is linked statically and hidden, so torch's own runtime cannot replace it.
    # torch_cuda provides the current stream.
    link_arguments = [str(toolkit.runtime), "-Wl,--exclude-libs,ALL", "-lrt", "-ldl", "-lpthread"]
    link_arguments.append("-ltorch_cuda")


class BuildExtension(cpp_extension.BuildExtension):
    """Always rebuilds, because existing objects may be built for another target."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except Exception as error:
            if toolkit is None:
                raise
            advice = f"{SWITCH}=0 in the environment builds slt_fast for the CPU only"
            sys.exit(f"{error}\nThe build for {built_for} failed; {advice}.")


extension = cpp_extension.CppExtension(
    "slt_fast._C",
    sorted(str(path) for path in sources if path.suffix in (".cpp", ".cu")),
    depends=sorted(str(path) for path in Path("csrc").rglob("*.*h")),
    define_macros=macros,
    extra_compile_args=compile_arguments,
    extra_link_args=link_arguments,
    py_limited_api=True,
)
