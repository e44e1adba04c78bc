"""Layouts of tensors: what checks and plans may depend on, and never the values or addresses."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import torch

# (shape, type, device, strides and negative bit) of each tensor; None for an absent one.
Layouts = tuple[tuple | None, ...]

_attributes = attrgetter("shape", "dtype", "device")


def layouts_of(tensors: Sequence[torch.Tensor | None]) -> Layouts:
    """Returns the layouts of tensors, of which some may be absent, as a key of a dictionary.

    Raises:
        AttributeError: One is no tensor.
        RuntimeError: One has no strides, as sparse and nested tensors.
    """
    return tuple(
        [
            None if each is None else (_attributes(each), each.stride(), each.is_neg())
            for each in tensors
        ]
    )


def strides_of(*tensors: torch.Tensor | None) -> tuple[tuple[int, ...] | None, ...]:
    """Returns the strides of tensors, of which some may be absent."""
    return tuple([None if each is None else each.stride() for each in tensors])


def stand_ins(layouts: Layouts) -> list[torch.Tensor | None]:
    """Returns a meta tensor, which has no memory, for each of the layouts."""
    return [None if layout is None else _stand_in(*layout) for layout in layouts]


def _stand_in(attributes: tuple, strides: tuple[int, ...], _: bool) -> torch.Tensor:
    shape, dtype, _ = attributes
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")
