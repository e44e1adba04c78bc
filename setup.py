"""Finds torch and builds the extension slt_fast._C; pyproject.toml has the rest of the package."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "csrc"))
from build_backend import advice  # noqa: E402
from setuptools import Extension, setup  # noqa: E402
from setuptools.command.bdist_wheel import bdist_wheel  # noqa: E402
from setuptools.command.build_ext import build_ext  # noqa: E402
from setuptools.command.dist_info import dist_info  # noqa: E402


def environment_path() -> list[str]:
    """Returns the module path of the environment, of which pip's isolated build hides a part."""
    hiding = ("PYTHONPATH", "PYTHONNOUSERSITE")
    variables = {name: value for name, value in os.environ.items() if name not in hiding}
    command = [sys.executable, "-c", "import sys; print(*sys.path[1:], sep='\\n')"]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def missing_torch() -> str | None:
    """Returns what was found instead of the torch that the build needs, or None."""
    try:
        import torch
    except ModuleNotFoundError as error:
        return f"no torch ({error})"
    is_old = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 11)
    return f"torch {torch.__version__}" if is_old else None


# The build needs the torch of the environment that the package goes into; it is searched last.
sys.path.extend(environment_path())
found = missing_torch()
if found is None:
    from torch_extension import BuildExtension, extension

    commands = {"build_ext": BuildExtension}
else:
    # The sdist needs no torch. pip asks for dist_info before it downloads what the package needs.
    extension = Extension("slt_fast._C", [])
    refuse = {"run": lambda command: sys.exit(advice(found))}
    commands = {
        command.__name__: type("Refusal", (command,), refuse)
        for command in (bdist_wheel, build_ext, dist_info)
    }

setup(
    ext_modules=[extension],
    cmdclass=commands,
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
