"""What batch norm takes its statistics from in training."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def set_training(network: nn.Module, batch_norm: str) -> None:
    """Sets a network to train.

    Args:
        network: The network.
        batch_norm: "batch" takes the statistics of what is computed together; "frozen" keeps those
            that the network has, so that no frame depends on another.
    """
    network.train()
    if batch_norm == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
