"""The running statistics of batch norm, in two tensors, so that they can be shared and restored."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_COUNT = "num_batches_tracked"


class RunningStatistics:
    """The running statistics of all batch norms of a network, which keeps them here from now on.

    Attributes:
        values: The statistics, float32.
        counts: int64, the batches that each batch norm has seen.
    """

    def __init__(self, network: nn.Module) -> None:
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        device = next(network.parameters()).device
        places = [(norm, name) for norm in norms for name in ("running_mean", "running_var")]
        tensors = [getattr(norm, name) for norm, name in places]
        none = torch.zeros(0, device=device)  # a network may have no batch norm
        self.values = torch.cat([none, *(tensor.flatten() for tensor in tensors)])
        parts = self.values.split([tensor.numel() for tensor in tensors])
        for (norm, name), part in zip(places, parts, strict=True):
            # Of one tensor, each norm's update would count as a change of all that autograd keeps.
            setattr(norm, name, part.data)
        counts = [getattr(norm, _COUNT).view(1) for norm in norms]
        self.counts = torch.cat([none.long(), *counts])
        for norm, count in zip(norms, self.counts, strict=True):
            setattr(norm, _COUNT, count.data)
        self._before = self.values.clone(), self.counts.clone()

    def remember(self) -> None:
        """Keeps the statistics as they are now, for `restore`."""
        for before, now in zip(self._before, (self.values, self.counts), strict=True):
            before.copy_(now)

    def restore(self, where: torch.Tensor) -> None:
        """Takes the remembered statistics if a boolean scalar, which is not read here, is true."""
        for before, now in zip(self._before, (self.values, self.counts), strict=True):
            torch.where(where, before, now, out=now)
