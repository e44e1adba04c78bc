"""The backend "raft" with random weights: its flow must equal that of torchvision's network."""

import hashlib
import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torchvision.models.optical_flow import raft_large, raft_small

from slt_fast.errors import DataError
from slt_fast.ops import optical_flow
from slt_fast.ops.optical_flow import choose_flow_backend, flow_parameters, raft


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return raft_small().eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "raft_small.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def weights_in_environment(weights, monkeypatch) -> None:
    monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(weights))
    monkeypatch.setattr(raft, "FLOW_UPDATES", 2)  # fewer than usual, to save time


def clip(T: int, H: int, W: int) -> torch.Tensor:
    """Smooth noise [T, H, W, 3] that moves."""
    coarse = torch.rand(1, 3, H // 4 + 4, W // 4 + 4) * 255
    image = functional.interpolate(coarse, (H + 2 * T, W + 2 * T), mode="bicubic")[0]
    image = image.clamp(0, 255).byte().permute(1, 2, 0)
    return torch.stack([image[t : t + H, 2 * t : 2 * t + W] for t in range(T)])


def test_is_what_torchvision_computes(network) -> None:
    frames = clip(2, 128, 136)
    flow = optical_flow(frames, preset="raft_small", backend="raft")
    assert flow.shape == (1, 2, 128, 136) and flow.dtype == torch.float32
    transforms = torchvision.models.optical_flow.Raft_Small_Weights.DEFAULT.transforms()
    images = transforms(*(frame.movedim(-1, 0).unsqueeze(0) for frame in frames))
    with torch.no_grad():
        expected = network(*images, num_flow_updates=2)[-1]
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(flow, expected, atol=1e-3, rtol=0)


def test_other_sizes_are_padded_with_their_border(network) -> None:
    frames = clip(2, 33, 131)
    flow = optical_flow(frames, preset="raft_small")
    padded = functional.pad(frames.movedim(-1, 1).float(), (2, 3, 47, 48), mode="replicate")
    padded = padded.movedim(1, -1).byte()
    assert padded.shape == (2, 128, 136, 3)
    expected = optical_flow(padded, preset="raft_small")[..., 47:80, 2:133]
    assert flow.shape == (1, 2, 33, 131)
    torch.testing.assert_close(flow, expected, atol=1e-3, rtol=0)


def test_grey_is_a_colour() -> None:
    grey = clip(2, 40, 24)[..., 0]
    coloured = grey.unsqueeze(-1).expand(-1, -1, -1, 3)
    flows = [optical_flow(frames, preset="raft_small") for frames in (grey, coloured)]
    assert torch.equal(*flows)


def test_a_pair_is_independent_of_its_clip_and_of_the_chunks(monkeypatch) -> None:
    frames = clip(4, 24, 40)
    together = optical_flow(frames, preset="raft_small")
    monkeypatch.setattr(raft, "_CORRELATION_BYTES", 2 * 4 * (128 * 128 // 64) ** 2)
    chunked = optical_flow(frames, preset="raft_small")
    torch.testing.assert_close(chunked, together, atol=1e-3, rtol=0)
    assert torch.equal(optical_flow(frames, preset="raft_small"), chunked)


def test_leaves_the_caller_as_it_was() -> None:
    raft._network.cache_clear()
    before = torch.get_rng_state(), torch.backends.cudnn.conv.fp32_precision
    frames = clip(2, 16, 16)
    drawn = torch.get_rng_state()
    expected = optical_flow(frames, preset="raft_small")
    assert not expected.requires_grad and torch.equal(torch.get_rng_state(), drawn)
    assert torch.backends.cudnn.conv.fp32_precision == before[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(optical_flow(frames, preset="raft_small"), expected)


def test_no_tensor_is_left_on_the_cpu(monkeypatch) -> None:
    """Needs no GPU: torch's fake tensors have a device, and refuse to mix two."""
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)  # it has no fake grid sampler
    with FakeTensorMode():
        with torch.device("cuda"):
            network = raft_small().eval()
        monkeypatch.setattr(raft, "_network", lambda *_: network)
        frames = torch.empty(4, 40, 50, 3, dtype=torch.uint8, device="cuda")
        flow = raft.raft_flow(frames, "raft_small")
    assert flow.device.type == "cuda" and flow.shape == (3, 2, 40, 50)


def test_parameters_name_model_and_weights(weights, tmp_path: Path, monkeypatch) -> None:
    parameters = flow_parameters("raft_small")
    assert json.loads(json.dumps(parameters)) == parameters
    assert parameters == flow_parameters("raft_small", "raft")
    assert parameters["algorithm"] == "raft" and parameters["preset"] == "raft_small"
    assert torchvision.__version__.startswith(parameters["version"])
    assert len(parameters["weights_sha256"]) == len(hashlib.sha256().hexdigest())
    state = torch.load(weights, weights_only=True)
    torch.save(dict(reversed(state.items())), tmp_path / "same.pth")
    state["feature_encoder.convnormrelu.0.bias"][0] += 1
    torch.save(state, tmp_path / "other.pth")
    for name, is_same in (("same", True), ("other", False)):
        monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(tmp_path / f"{name}.pth"))
        assert (flow_parameters("raft_small") == parameters) == is_same


def test_preset_and_backend_belong_together() -> None:
    assert choose_flow_backend("auto", "raft_large")[0] == "raft"
    message = r"found preset 'default' with backend 'raft'; expected one of \['raft_small', 'raft_l"
    with pytest.raises(ValueError, match=message):
        optical_flow(clip(2, 16, 16), backend="raft")
    with pytest.raises(ValueError, match=r"'raft_small' with backend 'cpu'; expected one of \['f"):
        flow_parameters("raft_small", "cpu")


def test_other_files_are_refused_by_name(tmp_path: Path, monkeypatch, network) -> None:
    state = network.state_dict()
    name = "context_encoder.conv.bias"
    without = {key: value for key, value in state.items() if key != name}
    cases = {
        "text.pth": (b"weights", "found .*; expected a state dict of torchvision's raft_small"),
        "empty.pth": (b"", "found EOFError; expected a state dict of torchvision's raft_small"),
        "list.pth": ([1], "found a list; expected a state dict of torchvision's raft_small"),
        "nested.pth": ({"state_dict": state}, "found OrderedDict 'state_dict'; expected a state"),
        "large.pth": (raft_large().state_dict(), "found an unknown tensor '.*'; expected those of"),
        "part.pth": (without, f"found no tensor '{name}'; expected those of raft_small"),
        "shape.pth": ({**state, name: state[name][1:]}, rf"found {name} of \[159\]; expected \[16"),
    }
    for file, (content, message) in cases.items():
        path = tmp_path / file
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(path))
        with pytest.raises(ValueError, match=f"{file}: {message}"):
            flow_parameters("raft_small")
    for name, found in (("gone.pth", "no such file"), (str(tmp_path), "a folder")):
        monkeypatch.setenv(raft.WEIGHTS_VARIABLE, name)
        message = f"{name}: found {found}; expected .* raft_small in SLT_FAST_RAFT_WEIGHTS"
        with pytest.raises(ValueError, match=message):
            optical_flow(clip(2, 16, 16), preset="raft_small")


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch) -> None:
    torch.save(torch.nn.Identity(), tmp_path / "module.pth")
    monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(tmp_path / "module.pth"))
    with pytest.raises(ValueError, match=r"module\.pth: found no file of tensors alone;"):
        flow_parameters("raft_small")


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def no_network(*_, **__) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv(raft.WEIGHTS_VARIABLE, "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(ValueError) as caught:
        flow_parameters("raft_large")
    message = str(caught.value)
    assert "could not download https://" in message and "raft_large_C_T_SKHT_V2" in message
    assert f"put it into {tmp_path / 'hub' / 'checkpoints'}" in message
    assert raft.WEIGHTS_VARIABLE in message


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (float("nan"), DataError, r"changed.pth: found NaN or infinity in update_block\.flow_head"),
        (3e38, ValueError, "found flow of 16x24 frames with NaN or infinity in it"),
    ],
)
def test_weights_without_a_finite_flow(
    tmp_path: Path, monkeypatch, network, value: float, error: type[Exception], message: str
) -> None:
    state = {key: value.clone() for key, value in network.state_dict().items()}
    state["update_block.flow_head.conv2.bias"][0] = value
    torch.save(state, tmp_path / "changed.pth")
    monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(tmp_path / "changed.pth"))
    with pytest.raises(ValueError, match=message) as caught:
        optical_flow(clip(2, 16, 24), preset="raft_small")
    assert type(caught.value) is error
