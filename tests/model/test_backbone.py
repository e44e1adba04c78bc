import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from slt_fast.model.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights of a ResNet18 that started anywhere, with statistics that do something."""
    network = torchvision.models.resnet18()
    network.train()(torch.randn(4, 3, 64, 64))
    return network.state_dict()


def save(state: dict[str, torch.Tensor], path: Path) -> str:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


def assert_loaded(backbone: Backbone, state: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(backbone.stem[0].weight, state["conv1.weight"])
    torch.testing.assert_close(backbone.stem[1].running_var, state["bn1.running_var"])
    last = backbone.stages[-1][1].conv2.weight
    torch.testing.assert_close(last, state[f"layer{len(backbone.stages)}.1.conv2.weight"])


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_is_torchvisions_network_cut_after_a_stage(stages, state, tmp_path) -> None:
    backbone = Backbone(stages=stages, weights=save(state, tmp_path / "resnet18.pth")).eval()
    images = torch.rand(2, 3, 64, 96)
    x = torchvision.transforms.functional.normalize(images, IMAGENET_MEAN, IMAGENET_STD)
    network = torchvision.models.resnet18().eval()
    network.load_state_dict(state)
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4)[:stages]:
        x = stage(x)
    maps = backbone(images)
    torch.testing.assert_close(maps, x, rtol=1e-4, atol=1e-4)
    assert maps.shape[1] == backbone.channels
    assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("H", "W"), [(224, 224), (56, 56), (50, 81), (1, 1)])
def test_images_of_any_size(H, W) -> None:
    maps = Backbone().eval()(torch.rand(1, 3, H, W))
    assert maps.shape == (1, 512, -(-H // 32), -(-W // 32))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_may_lack_the_classifier_and_the_batch_counters(suffix, state, tmp_path) -> None:
    """As torchvision's own file, which is older than the counters."""
    less = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    assert_loaded(Backbone(weights=save(less, tmp_path / f"old{suffix}")), state)
    less = {name: t for name, t in less.items() if not name.startswith("fc.")}
    assert_loaded(Backbone(weights=save(less, tmp_path / f"less{suffix}")), state)
    other = state | {"fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}
    assert_loaded(Backbone(stages=2, weights=save(other, tmp_path / f"other{suffix}")), state)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer3.0.conv1.weight": None}, "found no tensor 'layer3.0.conv1.weight'"),
        ({"layer9.weight": torch.zeros(1)}, "found an unknown tensor 'layer9.weight'"),
        (
            {"conv1.weight": torch.zeros(64, 2, 7, 7)},
            r"found conv1.weight of \[64, 2, 7, 7\]; expected \[64, 3, 7, 7\]",
        ),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(suffix, change, message, state, tmp_path) -> None:
    changed = {name: t for name, t in (state | change).items() if t is not None}
    path = save(changed, tmp_path / f"changed{suffix}")
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        Backbone(weights=path)


class Trap:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no weights", pickle.dumps(Trap(), 2), pickle.dumps({"a": 1}, 2)],
    ids=["empty", "text", "trap", "pickle"],
)
def test_a_file_that_holds_no_weights_is_named_and_not_run(
    suffix, content, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: found .*; expected .*ResNet18") as caught:
        Backbone(weights=str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [([torch.zeros(1)], "a list"), ({"epoch": 3}, "int 'epoch'"), ({}, "no tensor 'bn1.bias'")],
)
def test_a_file_that_holds_something_else_is_named(content, found, tmp_path) -> None:
    path = save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=f"^{path}: found {found}; expected .*ResNet18"):
        Backbone(weights=path)


def test_a_cut_off_file_is_named(state, tmp_path) -> None:
    path = Path(save(state, tmp_path / "resnet18.pth"))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=f"^{path}: found .*; expected a state dict of ResNet18"):
        Backbone(weights=str(path))


@pytest.mark.parametrize(
    ("weights", "found"),
    [("nowhere.pth", "no such file"), ("imagnet", "no such file"), (".", "a folder")],
)
def test_a_missing_file_is_named(weights, found: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = f"^{weights}: found {found}; expected imagenet, none, or .* as backbone_weights"
    with pytest.raises(ValueError, match=message):
        Backbone(weights=weights)


def test_imagenet_without_a_network_says_what_to_do(tmp_path, monkeypatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = "could not download .*no route to host.*Fetch resnet18-f37072fd.pth .*its path"
    with pytest.raises(ValueError, match=message):
        Backbone(weights="imagenet")


def test_imagenet_weights_are_torchvisions(state, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        torchvision.models.ResNet18_Weights, "get_state_dict", lambda *_, **__: dict(state)
    )
    assert_loaded(Backbone(weights="imagenet"), state)
