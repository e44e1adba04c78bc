"""The running statistics of batch norm, in one tensor, so that they can be shared and restored."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """The running statistics of all batch norms of a network, which keeps them here from now on.

    Attributes:
        values: The statistics, float32.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        places = [(norm, name) for norm in norms for name in ("running_mean", "running_var")]
        tensors = [getattr(norm, name) for norm, name in places]
        self.values = torch.cat([tensor.flatten() for tensor in tensors])
        parts = self.values.split([tensor.numel() for tensor in tensors])
        for (norm, name), part in zip(places, parts, strict=True):
            # Of one tensor, each norm's update would count as a change of all that autograd keeps.
            setattr(norm, name, part.data)
        self._before = self.values.clone()

    def remember(self) -> None:
        """Keeps the statistics as they are now, for `restore`."""
        self._before.copy_(self.values)

    def restore(self, where: torch.Tensor) -> None:
        """Takes the remembered statistics if a boolean scalar, which is not read here, is true."""
        torch.where(where, self._before, self.values, out=self.values)
