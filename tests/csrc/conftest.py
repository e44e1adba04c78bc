"""Builds of the C++ sources for one test module, without torch."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Returns a function that compiles sources with g++ and the given flags, and returns the file.

    The file is a program, or a library with -shared.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to build csrc; found none on the PATH")

    def compile_and_link(name: str, sources: Sequence[Path], *flags: str) -> Path:
        result = tmp_path_factory.mktemp(name) / name
        # As setup.py builds the extension.
        common = ["-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
        subprocess.run([compiler, *common, *flags, "-o", result, *sources], check=True)
        return result

    return compile_and_link
