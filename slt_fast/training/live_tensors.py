"""Bytes of the tensors that are alive at a time, on any device."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that operations return within the context.

    Memory that is shared counts once, and until nothing holds it any more: autograd's saved tensors
    and gradients are among it. What an operation uses for itself is not seen.

    Args:
        known: Tensors that do not count, such as weights.

    Attributes:
        num_bytes: Bytes of the tensors that are alive.
        peak: Most bytes that were alive at once.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.num_bytes = self.peak = 0
        self._alive: dict[int, weakref.ref] = {}
        for tensor in known:
            self._watch(tensor.untyped_storage(), 0)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operation and counts what it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self._watch(storage, storage.nbytes())
        return result

    def _watch(self, storage: torch.UntypedStorage, num_bytes: int) -> None:
        # The object of a storage lives as long as its memory, so its number names it.
        number = id(storage)
        if number in self._alive:
            return

        def forget(_: weakref.ref) -> None:
            del self._alive[number]
            self.num_bytes -= num_bytes

        self._alive[number] = weakref.ref(storage, forget)
        self.num_bytes += num_bytes
        self.peak = max(self.peak, self.num_bytes)
