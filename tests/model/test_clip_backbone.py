"""R3D-18 over packed clips, against torchvision's on each clip."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.video import R3D_18_Weights, r3d_18

from slt_fast.model.clip_backbone import KINETICS_MEAN, KINETICS_STD, ClipBackbone
from slt_fast.model.config import ModelConfig
from slt_fast.model.encoder import Encoder

COUNTS = [4, 1, 6]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights of a network that started anywhere, with statistics that do something."""
    torch.manual_seed(3)
    network = r3d_18()
    network.train()(torch.randn(2, 3, 8, 32, 32))
    return network.state_dict()


def theirs(state: dict[str, torch.Tensor]) -> nn.Module:
    """torchvision's network without strides in time."""
    network = r3d_18().eval()
    network.load_state_dict(state)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.stride = (1, *module.stride[1:])
    return network


def their_maps(network: nn.Module, clip: torch.Tensor, stages: int) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (KINETICS_MEAN, KINETICS_STD))
    x = network.stem(((clip - mean) / std).transpose(0, 1).unsqueeze(0))
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4)[:stages]:
        x = stage(x)
    return x[0].transpose(0, 1)


def ours(state: dict[str, torch.Tensor], tmp_path: Path, stages: int) -> ClipBackbone:
    save_file(state, tmp_path / "r3d.safetensors")
    return ClipBackbone(stages=stages, weights=str(tmp_path / "r3d.safetensors")).eval()


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_is_torchvisions_network_on_each_clip(stages, state, tmp_path: Path) -> None:
    clips = [torch.rand(T, 3, 20, 28) for T in COUNTS]
    backbone = ours(state, tmp_path, stages)
    maps = backbone(torch.cat(clips), COUNTS)
    expected = torch.cat([their_maps(theirs(state), clip, stages) for clip in clips])
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-4)
    h, w = -(-20 // backbone.stride), -(-28 // backbone.stride)
    assert maps.shape == (sum(COUNTS), backbone.channels, h, w)
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_the_same_seed_gives_torchvisions_start_values() -> None:
    found = []
    for kind in (r3d_18, ClipBackbone):
        torch.manual_seed(5)
        found.append(kind().stem.state_dict())
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())


def test_gradients_are_torchvisions(state, tmp_path: Path) -> None:
    """In float64, of the images and of each weight; each value of the maps counts differently."""
    stages, images = 2, torch.rand(sum(COUNTS), 3, 12, 12).double()
    found = []
    for network in (ours(state, tmp_path, stages).double(), theirs(state).double()):
        x = images.clone().requires_grad_()
        if isinstance(network, ClipBackbone):
            network.mean, network.std = network.mean.double(), network.std.double()
            maps = network(x, COUNTS)
        else:
            maps = torch.cat([their_maps(network, clip, stages) for clip in x.split(COUNTS)])
        (maps * torch.arange(maps.numel()).view(maps.shape).sin()).sum().backward()
        found.append([x.grad, *(p.grad for p in network.parameters() if p.grad is not None)])
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)


def test_a_clip_sees_no_other_clip(state, tmp_path: Path) -> None:
    backbone = ours(state, tmp_path, 2)
    images = torch.rand(sum(COUNTS), 3, 12, 12)
    expected = backbone(images, COUNTS)
    images[4:5] = torch.nan  # the clip in the middle
    images.requires_grad_()
    maps = backbone(images, COUNTS)
    assert maps[4:5].isnan().all()
    for part in (slice(0, 4), slice(5, None)):
        torch.testing.assert_close(maps[part], expected[part])
    gradient = torch.autograd.grad(
        backbone(images.detach().nan_to_num().requires_grad_(), COUNTS)[:4].sum(),
        backbone.stem[0].weight,
    )[0]
    assert gradient.isfinite().all()


def test_a_frame_sees_as_far_as_it_says(state, tmp_path: Path) -> None:
    backbone, images = ours(state, tmp_path, 1), torch.rand(15, 3, 8, 8)
    before = backbone(images, [15])
    images[7] = 0
    moved = ((backbone(images, [15]) - before).abs() > 1e-7).flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == list(range(2, 13))  # 5 = 1 + 4 * 1 stage


def test_batch_norm_counts_the_frames_and_no_gaps() -> None:
    backbone, images = ClipBackbone(stages=1).train(), torch.rand(sum(COUNTS), 3, 8, 8)
    seen = []
    backbone.stem[1].register_forward_hook(lambda *given: seen.append(given[1][0]))
    backbone(images, COUNTS)
    assert seen[0].shape[:3] == (1, 64, sum(COUNTS))
    variance = seen[0].var((0, 2, 3, 4))
    torch.testing.assert_close(backbone.stem[1].running_var, 0.9 + 0.1 * variance)


def test_a_single_value_has_no_variance() -> None:
    backbone = ClipBackbone(stages=2)
    with pytest.raises(ValueError, match="found a single frame of 4x3 pixels; expected at least 2"):
        backbone(torch.rand(1, 3, 3, 4), [1])
    assert backbone.eval()(torch.rand(1, 3, 3, 4), [1]).shape == (1, 128, 1, 1)


@pytest.mark.parametrize("memory", ["frame", "pixel"])
@pytest.mark.parametrize("training", [False, True])
def test_an_encoded_clip_is_independent_of_the_clips_beside_it(memory, training) -> None:
    """With gradients, which keep all clips in one batch, and without."""
    module = encoder(memory=memory)
    clips = [torch.rand(T, 3, 12, 12) for T in COUNTS]
    lengths = torch.tensor(COUNTS)
    with torch.set_grad_enabled(training):
        batch = module(torch.cat(clips), lengths)
        for index, clip in enumerate(clips):
            alone = module(clip, lengths[index : index + 1])
            inside = ~batch.memory_padding_mask[index]
            torch.testing.assert_close(batch.memory[index, inside], alone.memory[0])
            gloss_logits = batch.gloss_logits[index, : len(clip)]
            torch.testing.assert_close(gloss_logits, alone.gloss_logits[0])


def encoder(**settings) -> Encoder:
    sizes = {"backbone_stages": 1, "memory_map_size": (3, 3), "width": 16}
    config = ModelConfig(backbone="r3d_18", backbone_weights="none", **sizes, **settings)
    return Encoder(config, 5).eval()


def test_chunks_would_cut_clips() -> None:
    module = encoder()
    module.frames_per_chunk = 4
    with pytest.raises(ValueError, match="found frames_per_chunk 4 with backbone r3d_18; expected"):
        module(torch.rand(3, 3, 12, 12), torch.tensor([3]))


def test_weights_of_another_network_are_named(state, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: value for name, value in state.items() if "layer3.1" not in name}, path)
    with pytest.raises(ValueError, match="found no tensor 'layer3.1.*; expected r3d_18's tensors"):
        ClipBackbone(weights=str(path))
    with pytest.raises(ValueError, match="^imagenet: found no such file; expected kinetics, none,"):
        ClipBackbone(weights="imagenet")


def test_kinetics_weights_are_torchvisions(state, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(R3D_18_Weights, "get_state_dict", lambda *_, **__: dict(state))
    backbone = ClipBackbone(weights="kinetics")
    torch.testing.assert_close(
        backbone.stages[3][1].conv2[0].weight, state["layer4.1.conv2.0.weight"]
    )

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="'kinetics': could not download .*Fetch r3d_18-"):
        ClipBackbone(weights="kinetics")
