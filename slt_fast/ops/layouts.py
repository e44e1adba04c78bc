"""Layouts of tensors: what checks and plans may depend on, and never the values or addresses."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import torch

Layouts = tuple[tuple, tuple]

_attributes = attrgetter("shape", "dtype", "device")
_strides = torch.Tensor.stride
# Stands for an absent tensor: no operator takes one of this type.
_ABSENT = torch.empty(0, dtype=torch.int8)


def layouts_of(tensors: Sequence[torch.Tensor | None]) -> Layouts:
    """Returns the layouts of tensors, of which some may be absent, as a key of a dictionary.

    Raises:
        AttributeError, TypeError: One is no tensor.
        RuntimeError: One has no strides, as sparse and nested tensors.
    """
    # Functions in C: a loop of our own would take longer than a small kernel.
    present = [_ABSENT if tensor is None else tensor for tensor in tensors]
    return tuple(map(_attributes, present)), tuple(map(_strides, present))


def stand_ins(layouts: Layouts) -> list[torch.Tensor | None]:
    """Returns a meta tensor, which has no memory, for each of the layouts."""
    return [
        None
        if dtype == _ABSENT.dtype
        else torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        for (shape, dtype, _), strides in zip(*layouts, strict=True)
    ]
