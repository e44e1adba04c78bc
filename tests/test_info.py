import platform
import subprocess
import sys

import pytest
import torch

import slt_fast.ops
from slt_fast import info
from slt_fast.ops import extension
from slt_fast.ops.backend import machine_refusal


@pytest.fixture
def rows() -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in info.describe().splitlines())


def test_names_the_versions(rows) -> None:
    assert rows["slt_fast"] == slt_fast.__version__
    assert rows["Python"] == platform.python_version()
    assert rows["torch"] == torch.__version__
    assert rows["OpenCV"][0].isdigit()


def test_names_the_device(rows) -> None:
    if torch.cuda.is_available():
        assert torch.cuda.get_device_name(0) in rows["device"]
    else:
        assert rows["device"].startswith("no CUDA GPU")


def test_names_the_backend_of_every_operator(rows) -> None:
    flow, attention = "cpu: the extension, ", "reference: "
    if extension.cuda_refusal() is None:
        flow = "cuda: the extension's kernels"
    if torch.cuda.is_available() and machine_refusal(torch.device("cuda")) is None:
        attention = "triton: fused kernels on a GPU"
    assert rows["optical_flow"].startswith(flow)
    others = {"optical_flow", "explain", "attention_weights", "set_workspace_limit"}
    for operator in set(slt_fast.ops.__all__) - others:
        assert rows[operator].startswith(attention)


def test_tells_whether_the_extension_is_built(rows, monkeypatch) -> None:
    assert rows["extension"].startswith("_C.abi3.so, for the CPU")
    monkeypatch.setattr(extension, "EXTENSION", None)
    monkeypatch.setattr(extension, "REFUSAL", "why it cannot be used")
    assert "extension                   why it cannot be used" in info.describe()


def test_names_what_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(info, "PACKAGES", ("no-such-package",))
    lines = [" ".join(line.split()) for line in info.describe().splitlines()]
    assert "no-such-package not installed" in lines
    assert any(line.startswith("OpenCV cannot be imported: ") for line in lines)


def test_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "slt_fast.info"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == info.describe() + "\n"
