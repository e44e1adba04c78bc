import pytest
import torch

from slt_fast.device import autocast, choose_device, computes_bfloat16
from slt_fast.errors import UserError


@pytest.fixture
def without_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert choose_device() == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="'cuda:2'; .* here: cpu, cuda, cuda:0, cuda:1$"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


def test_processes_of_torchrun_share_the_gpus(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for rank, index in (("0", 0), ("1", 1), ("2", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert choose_device() == torch.device("cuda", index)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_gpu_where_there_is_none(without_gpu, name: str) -> None:
    message = f"device: found '{name}'; expected auto or one that torch finds here: cpu$"
    with pytest.raises(UserError, match=message):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "cpu:0", "meta", "cuda:", "cuda:-1"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(
        UserError, match=f"device: found '{name}'; expected auto or one that torch finds"
    ):
        choose_device(name)


def test_precision_is_as_asked() -> None:
    device, matrix = torch.device("cpu"), torch.ones(2, 2)
    expected = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "auto": torch.bfloat16 if computes_bfloat16(device) else torch.float32,
    }
    for precision, dtype in expected.items():
        with autocast(device, precision):
            assert (matrix @ matrix).dtype == dtype
    with pytest.raises(ValueError, match="precision: found 'bf16'; expected auto, float32 or bf"):
        autocast(device, "bf16")


@pytest.mark.gpu
def test_autocast_on_the_gpu() -> None:
    device = torch.device("cuda")
    matrix = torch.ones(2, 2, device=device)
    with autocast(device, "bfloat16"):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast(device, "float32"):
        assert (matrix @ matrix).dtype == torch.float32
