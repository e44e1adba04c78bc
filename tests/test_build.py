import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import setuptools

from slt_fast.ops.extension import EXTENSION

PROJECT_ROOT = Path(__file__).resolve().parents[1]


NO_TORCH = "sys.modules['torch'] = None"
# Files that an sdist must not hold.
BUILD_PRODUCTS = (
    "slt_fast/_C.abi3.so",
    "slt_fast/__pycache__/version.cpython-311.pyc",
    "csrc/__pycache__/cuda_toolkit.cpython-311.pyc",
    "build/lib/slt_fast/version.py",
    "runs/quickstart/log.md",
)


def run(code: str, folder: Path = PROJECT_ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", f"import runpy, sys; {code}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("environment", "command", "reason"),
    [
        (NO_TORCH, "dist_info", "no torch ("),
        (NO_TORCH, "bdist_wheel", "no torch ("),
        (NO_TORCH, "build_ext", "no torch ("),
        ("import torch; torch.__version__ = '2.9.1+cpu'", "dist_info", "torch 2.9.1+cpu."),
        ("sys.modules['setuptools'] = None", "dist_info", "no setuptools ("),
        ("import setuptools; setuptools.__version__ = '65.5.0'", "dist_info", "setuptools 65.5.0."),
    ],
)
def test_a_build_without_torch_or_setuptools_says_what_to_do(environment, command, reason) -> None:
    result = run(f"{environment}; sys.argv[1:] = ['{command}']; runpy.run_path('setup.py')")
    assert result.returncode == 1
    assert result.stderr.startswith("Build slt_fast with --no-build-isolation")
    assert len(result.stderr.splitlines()) == 1
    assert f"{sys.prefix} has {reason}" in result.stderr


def test_a_build_finds_the_torch_that_isolation_hides(tmp_path) -> None:
    """As in pip's isolated build, a folder of PYTHONPATH has setuptools and nothing else."""
    packages = Path(setuptools.__file__).parents[1]
    for path in [*packages.glob("setuptools*"), packages / "_distutils_hack"]:
        (tmp_path / path.name).symlink_to(path)
    result = subprocess.run(
        [sys.executable, "-S", "setup.py", "--name"],  # -S: no site-packages
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
    )
    assert "slt_fast is built for the CPU" in result.stderr
    assert result.stdout == "slt-fast\n"


@pytest.fixture
def project_files(tmp_path) -> set[str]:
    """Copies the project's files to tmp_path, with products of a build among them."""
    if not (PROJECT_ROOT / ".git").exists():
        pytest.skip("needs the git checkout, which names the project's files")
    listing = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    files = {name for name in listing.stdout.splitlines() if not name.startswith(".")}
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / name, tmp_path / name)
    for name in BUILD_PRODUCTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return files


def test_the_wheel_holds_the_package_with_its_data(tmp_path, project_files) -> None:
    code = "sys.argv[1:] = ['build_py', '--build-lib', 'built']; runpy.run_path('setup.py')"
    result = run(f"{NO_TORCH}; {code}", tmp_path)
    assert result.returncode == 0, result.stderr
    built = tmp_path / "built"
    found = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()}
    assert "slt_fast/pretrained/quickstart/model.safetensors" in found
    assert found == {name for name in project_files if name.startswith("slt_fast/")}


def test_the_sdist_holds_the_project_and_needs_no_torch(tmp_path, project_files) -> None:
    code = "sys.path.insert(0, 'csrc'); import build_backend; build_backend.build_sdist('dist')"
    result = run(f"{NO_TORCH}; {code}", tmp_path)
    assert result.returncode == 0, result.stderr
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as sdist:
        members = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    made = {"PKG-INFO", "setup.cfg", *(n for n in members if n.startswith("slt_fast.egg-info/"))}
    assert members - made == project_files


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
