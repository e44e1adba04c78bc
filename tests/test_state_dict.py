from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from slt_fast.errors import DataError
from slt_fast.state_dict import check_state_dict, read_state_dict

WANTED = "a state dict of the network"
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}
SAVE = {".safetensors": save_file, ".pth": torch.save}


@pytest.mark.parametrize("suffix", SAVE)
def test_is_read_to_the_cpu(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    SAVE[suffix](STATE, path)
    found = read_state_dict(path, WANTED)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("suffix", SAVE)
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_files_are_named(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    SAVE[suffix](STATE, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"^{path}: found .+; expected {WANTED}$"):
        read_state_dict(path, WANTED)


def test_other_pickles_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Identity(), path)
    with pytest.raises(DataError) as caught:
        read_state_dict(path, WANTED)
    assert str(caught.value) == f"{path}: found no file of tensors alone; expected {WANTED}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for suffix in SAVE:
        with pytest.raises(DataError, match=f"gone{suffix}: found .*[Nn]o such file.*; expected"):
            read_state_dict(tmp_path / f"gone{suffix}", WANTED)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": STATE["weight"]}, "found no tensor 'bias'; expected its tensors"),
        (STATE | {"scale": torch.ones(1)}, "found an unknown tensor 'scale'; expected its tensors"),
        (STATE | {"bias": torch.ones(3)}, r"found bias of \[3\]; expected \[2\]"),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(state: dict, message: str) -> None:
    check_state_dict(STATE, STATE, source="own.pth", expected="its tensors")
    with pytest.raises(DataError, match=f"^other.pth: {message}$"):
        check_state_dict(state, STATE, source="other.pth", expected="its tensors")
