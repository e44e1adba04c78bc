"""Builds the extension slt_fast._C; everything else about the package stands in pyproject.toml."""

import os
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

from torch.utils import cpp_extension  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parent / "csrc"))
from cuda_toolkit import SWITCH, choose_toolkit  # noqa: E402

try:
    toolkit, built_for = choose_toolkit(os.environ, torch.version.cuda, cpp_extension.CUDA_HOME)
except ValueError as error:
    sys.exit(str(error))
print(f"slt_fast is built for {built_for}", file=sys.stderr)

# LibTorch's stable ABI as of torch 2.10: one build serves every later torch and every Python.
macros = [("TORCH_TARGET_VERSION", "0x020a000000000000"), ("SLT_FAST_BUILT_FOR", f'"{built_for}"')]
# Square roots set no errno and comparisons no flags, or their loops stay scalar; the results
# are the same. Python's own -fwrapv takes 3 % of the flow's speed. Our vectors stay inside: no
# warning of their calling convention is needed.
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
    # The runtime's functions stay inside, so that those of torch's own do not take their place;
    # of torch the current stream is asked for.
    link_arguments = [str(toolkit.runtime), "-Wl,--exclude-libs,ALL", "-lrt", "-ldl", "-lpthread"]
    link_arguments.append("-ltorch_cuda")


class BuildExtension(cpp_extension.BuildExtension):
    """Builds anew whatever is there, as that may be built for something else."""

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

setup(
    ext_modules=[extension],
    cmdclass={"build_ext": BuildExtension},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
