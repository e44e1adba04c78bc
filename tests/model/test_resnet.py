import subprocess
import sys

import pytest
import torch
import torchvision

from slt_fast.model.backbone import Backbone
from slt_fast.model.resnet import ResNet18


def test_start_values_are_torchvisions() -> None:
    torch.manual_seed(3)
    ours = ResNet18().state_dict()
    after = torch.rand(3)
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18().state_dict()
    assert torch.equal(torch.rand(3), after)  # as many random numbers were drawn
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("is_training", [False, True])
def test_maps_are_torchvisions(is_training: bool) -> None:
    network = torchvision.models.resnet18().train(is_training)
    backbone = Backbone().train(is_training)
    parts = (network.conv1, network.bn1, network.relu, network.maxpool)
    backbone.stem.load_state_dict(torch.nn.Sequential(*parts).state_dict())
    stages = torch.nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4)
    backbone.stages.load_state_dict(stages.state_dict())
    images = torch.rand(2, 3, 64, 48)
    normalised = (images - backbone.mean) / backbone.std
    normalised = normalised.contiguous(memory_format=torch.channels_last)
    expected = stages(torch.nn.Sequential(*parts)(normalised))
    assert torch.equal(backbone(images), expected)


def test_translating_loads_neither_torchvision_nor_the_compiler() -> None:
    code = (
        "import sys; from slt_fast import Translator\n"
        "assert not {'torchvision', 'torch._dynamo', 'sympy'} & sys.modules.keys()"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
