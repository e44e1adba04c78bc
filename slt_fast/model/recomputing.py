"""Training in less memory: activations are computed anew for the backward pass (Chen et al., 2016).

https://arxiv.org/abs/1604.06174
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[[torch.Tensor], Any], x: torch.Tensor, module: nn.Module) -> Any:
    """Computes function(x), and keeps only x and the result for the backward pass.

    Args:
        function: What to compute; it runs twice, with the same random numbers.
        x: Its input.
        module: Holds all batch norms of the function, which count x once.
    """
    contexts = partial(_contexts, module)
    return checkpoint(function, x, use_reentrant=False, context_fn=contexts)


def _contexts(module: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _uncounted(module)


@contextmanager
def _uncounted(module: nn.Module) -> Iterator[None]:
    """Keeps batch norms from adding what they see to their running statistics."""
    # Without the statistics themselves fewer tensors would be saved than in the forward pass.
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
