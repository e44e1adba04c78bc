"""The steps of a plan: launches of Triton kernels, and calls of torch on views of named tensors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from slt_fast.ops.kernel_table import Row

Tensors = dict[str, Any]  # by name; None for one that is absent
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """A tensor, or a view of one, as a kernel takes it."""

    tensor: str  # its name in the call
    dtype: torch.dtype  # of its values
    offset: int  # of the view from the start of the tensor, in values
    strides: tuple[int, ...] | None  # of the view; None if the kernel takes a bare pointer

    def of(self, tensors: Tensors) -> Any:
        """Returns the kernel's argument: the pointer, or a tuple of pointer and strides."""
        tensor = tensors[self.tensor]
        if self.offset:
            tensor = tensor.as_strided((1,), (1,), tensor.storage_offset() + self.offset)
        return tensor if self.strides is None else (tensor, *self.strides)


@dataclass(frozen=True)
class Blocks:
    """A tensor [B, heads, N, channels], or a view of one, that a kernel takes block by block."""

    tensor: str  # its name in the call
    dtype: torch.dtype  # of its values
    offset: int  # of the view from the start of the tensor, in values
    sizes: tuple[int, ...]
    strides: tuple[int, ...]  # multiples of 16 bytes, the last one 1
    block: tuple[int, ...]

    def of(self, tensors: Tensors) -> Any:
        """Returns the kernel's argument: a descriptor, from which a GPU copies whole blocks."""
        tensor = tensors[self.tensor]
        offset = tensor.storage_offset() + self.offset
        return self.describe(tensor.as_strided(self.sizes, self.strides, offset))

    def describe(self, view: torch.Tensor) -> Any:
        """Returns the descriptor of a view."""
        from triton.tools.tensor_descriptor import TensorDescriptor

        return TensorDescriptor(view, list(self.sizes), list(self.strides), list(self.block))


@dataclass(frozen=True)
class Launch:
    """One kernel of a plan."""

    kernel: Any  # the Triton function
    row: Row  # its row of the kernel table
    num_programs: int  # size of its one-dimensional grid
    operands: dict[str, Operand | Blocks]  # its tensors, by parameter
    constants: dict[str, Any]  # its other arguments, by parameter; None for a tensor that is absent

    @property
    def blocks(self) -> dict[str, int]:
        """The block sizes that the kernel runs with."""
        return {
            name: value
            for name, value in self.constants.items()
            if name.startswith("BLOCK") or name in self.row.blocks
        }

    def start(self, tensors: Tensors) -> Any:
        """Starts the kernel on the current device; returns what Triton compiled."""
        arguments = {name: operand.of(tensors) for name, operand in self.operands.items()}
        options = {"num_warps": self.row.num_warps, "num_stages": self.row.num_stages}
        return self.kernel[(self.num_programs,)](**arguments, **self.constants, **options)


@dataclass(frozen=True)
class View:
    """A view of a tensor, as torch takes it."""

    tensor: str  # its name in the call
    sizes: Sizes
    layout: tuple[Sizes, int] | None  # strides and offset; None for the whole tensor

    def of(self, tensors: Tensors) -> torch.Tensor:
        """Returns the view of this call's tensor."""
        tensor = tensors[self.tensor]
        if self.layout is None:
            return tensor
        strides, offset = self.layout
        return tensor.as_strided(self.sizes, strides, tensor.storage_offset() + offset)


@dataclass(frozen=True)
class Call:
    """A step of a plan that torch computes, as a large product."""

    function: Callable[..., Any]  # takes the views and writes into some of them
    views: tuple[View, ...]

    def start(self, tensors: Tensors) -> Any:
        """Calls the function on the current device."""
        return self.function(*(view.of(tensors) for view in self.views))


@dataclass(eq=False)
class Steps:
    """What a call does: its steps in their order, and the tensors besides those it is given."""

    device: torch.device  # where the kernels run
    steps: list[Launch | Call] = field(default_factory=list)
    memory: dict[str, torch.Tensor] = field(default_factory=dict)  # meta tensors; made in each run
    constants: dict[str, torch.Tensor] = field(default_factory=dict)  # the same in each run

    @property
    def launches(self) -> list[Launch]:
        """The steps that are Triton kernels."""
        return [step for step in self.steps if isinstance(step, Launch)]
