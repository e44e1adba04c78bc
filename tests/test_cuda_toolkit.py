"""The build's choice of a CUDA toolkit, and SLT_FAST_BUILD_CUDA."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from slt_fast.ops.extension import EXTENSION

PROJECT_ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT_ROOT / "csrc"))

import cuda_toolkit  # noqa: E402
from cuda_toolkit import _packages, choose_toolkit  # noqa: E402

NEWEST = ("99.1", (75, 80, 86, 90, 100, 103, 120))
OLDER = ("99.0", (70, 80, 90))


@pytest.fixture(autouse=True)
def no_packages(monkeypatch) -> None:
    """Hides pip's CUDA packages, which could replace the parts that a test leaves out."""
    monkeypatch.setattr(cuda_toolkit, "_packages", lambda cuda_version: [])


def make_toolkit(root: Path, version: str, architectures: tuple[int, ...]) -> Path:
    """Makes a folder that looks like a toolkit."""
    known = " ".join(f"compute_{n}" for n in architectures)
    script = f"""#!/bin/sh
case "$1" in
  --version) echo "Cuda compilation tools, release {version}, V{version}.88" ;;
  --list-gpu-arch) echo "{known}" ;;
  --dryrun) echo "#\\$ TOP={root}/bin/.." >&2 ;;
esac
"""
    for path, text in (
        ("bin/nvcc", script),
        ("include/cuda_runtime.h", ""),
        ("lib64/libcudart_static.a", ""),
    ):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    (root / "bin" / "nvcc").chmod(0o755)
    return root


def environment(**values: str) -> dict[str, str]:
    return {"PATH": "", **values}


def test_a_toolkit_is_taken_where_torch_has_cuda(tmp_path) -> None:
    root = make_toolkit(tmp_path / "cuda", *NEWEST)
    for wish in ("auto", "1", None):
        switch = {} if wish is None else {"SLT_FAST_BUILD_CUDA": wish}
        toolkit, words = choose_toolkit(environment(CUDA_HOME=str(root), **switch), "99.1")
        assert toolkit.root == root
        assert words == "the CPU and GPUs (CUDA 99.1: sm_80, sm_90, sm_100, sm_120 and PTX)"
    flags = toolkit.architecture_flags()
    assert flags[0] == "-gencode=arch=compute_80,code=sm_80"
    assert flags[-1] == "-gencode=arch=compute_120,code=compute_120"


def test_0_builds_for_the_cpu_only(tmp_path) -> None:
    root = make_toolkit(tmp_path / "cuda", *NEWEST)
    found = choose_toolkit(environment(CUDA_HOME=str(root), SLT_FAST_BUILD_CUDA="0"), "99.1")
    assert found == (None, "the CPU (SLT_FAST_BUILD_CUDA=0)")


def test_an_older_toolkit_leaves_targets_out_and_says_so(tmp_path) -> None:
    root = make_toolkit(tmp_path / "cuda", *OLDER)
    toolkit, words = choose_toolkit(environment(CUDA_HOME=str(root)), "99.1")
    assert toolkit.targets == (80, 90)
    assert words.endswith("sm_80, sm_90 and PTX, not sm_100, sm_120, which need CUDA 12.8)")
    assert toolkit.architecture_flags()[-1] == "-gencode=arch=compute_90,code=compute_90"


def test_a_script_on_the_path_leads_to_the_toolkit(tmp_path) -> None:
    root = make_toolkit(tmp_path / "cuda", *NEWEST)
    script = tmp_path / "bin" / "nvcc"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {root}/bin/nvcc "$@"\n')
    script.chmod(0o755)
    toolkit, _ = choose_toolkit(environment(PATH=str(script.parent)), "99.1")
    assert toolkit.root == root.resolve()


def test_the_guess_of_torch_comes_last(tmp_path) -> None:
    root = make_toolkit(tmp_path / "cuda", *NEWEST)
    nowhere = str(tmp_path / "nowhere")
    toolkit, _ = choose_toolkit(environment(CUDA_HOME=nowhere), "99.1", str(root))
    assert toolkit.root == root


def test_pips_cuda_packages_are_found_beside_torch(tmp_path, monkeypatch) -> None:
    """Those of `pip install --user` are not in the interpreter's own site-packages."""
    monkeypatch.setattr(cuda_toolkit, "_packages", _packages)
    monkeypatch.setattr(torch.__spec__, "origin", str(tmp_path / "torch" / "__init__.py"))
    root = make_toolkit(tmp_path / "nvidia" / "cu99", *NEWEST)
    assert choose_toolkit(environment(), "99.1")[0].root == root


def lacks(path: str):
    return lambda root: (root / path).unlink()


@pytest.mark.parametrize(
    ("cuda_version", "damage", "reason"),
    [
        (None, None, "this torch is built without CUDA"),
        ("98.0", None, "cuda is CUDA 99.1, torch's is 98.0"),
        ("99.1", lacks("bin/nvcc"), "cuda has no bin/nvcc"),
        ("99.1", lacks("include/cuda_runtime.h"), "cuda_runtime.h is missing in "),
        ("99.1", lacks("lib64/libcudart_static.a"), "libcudart_static.a is missing in "),
    ],
)
def test_without_a_toolkit_auto_tells_why_and_1_stops(
    tmp_path, cuda_version, damage, reason
) -> None:
    root = make_toolkit(tmp_path / "cuda", *NEWEST)
    if damage:
        damage(root)
    known = environment(CUDA_HOME=str(root))
    toolkit, words = choose_toolkit(known, cuda_version)
    assert toolkit is None
    assert words.startswith("the CPU (") and reason in words
    with pytest.raises(ValueError, match="SLT_FAST_BUILD_CUDA=1: the CUDA kernels cannot be built"):
        choose_toolkit({**known, "SLT_FAST_BUILD_CUDA": "1"}, cuda_version)


def test_another_value_stops_the_build() -> None:
    command = [sys.executable, "setup.py", "--name"]
    values = os.environ | {"SLT_FAST_BUILD_CUDA": "yes"}
    result = subprocess.run(command, cwd=PROJECT_ROOT, env=values, capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stderr.endswith("SLT_FAST_BUILD_CUDA: found 'yes'; expected 0, 1 or auto\n")


def test_the_extension_knows_what_it_was_built_for() -> None:
    assert EXTENSION is not None, "the extension is not built: run `make setup`"
    has_kernels = torch._C._dispatch_has_kernel_for_dispatch_key("slt_fast::disvr", "CUDA")
    words = torch.ops.slt_fast.built_for()
    assert words.startswith("the CPU and GPUs (CUDA " if has_kernels else "the CPU (")


def test_cudas_runtime_stays_inside() -> None:
    """The extension loads without a driver, and takes no function of torch's runtime."""
    command = ["nm", "--dynamic", str(EXTENSION)]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("needs nm, a part of binutils")
    names = [line.split()[-1] for line in lines.splitlines()]
    assert not [name for name in names if name.startswith(("cuda", "__cuda", "cu"))]
