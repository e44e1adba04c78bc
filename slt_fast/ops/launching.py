"""The plan of a call: which kernels run, with which blocks, on how many programs, in which memory.

A step of a plan is the launch of a Triton kernel, or a call of torch on views of named tensors.

A plan depends on the layout of the tensors (shape, strides, type), on the device and on settings
such as the scale, never on the tensors' values or addresses. A `Planner` keeps it. The function
that writes it down gets stand-ins of the tensors (meta tensors, which have a layout and no memory).
It may hand views of them to kernels: a plan keeps a view as the name of its tensor, an offset and
strides.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row

MAX_PLANS = 256  # kept by each planner
Tensors = dict[str, Any]  # by name; None for one that is absent


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
        from triton.tools.tensor_descriptor import TensorDescriptor

        tensor = tensors[self.tensor]
        offset = tensor.storage_offset() + self.offset
        view = tensor.as_strided(self.sizes, self.strides, offset)
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
    offset: int  # of the view from the start of the tensor, in values
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, tensors: Tensors) -> torch.Tensor:
        """Returns the view of this call's tensor."""
        tensor = tensors[self.tensor]
        offset = tensor.storage_offset() + self.offset
        return tensor.as_strided(self.sizes, self.strides, offset)


@dataclass(frozen=True)
class Call:
    """A step of a plan that torch computes, as a large product."""

    function: Callable[..., Any]  # takes the views and writes into some of them
    views: tuple[View, ...]

    def start(self, tensors: Tensors) -> Any:
        """Calls the function on the current device."""
        return self.function(*(view.of(tensors) for view in self.views))


@dataclass(frozen=True)
class Described:
    """A stand-in that a kernel takes block by block; see `describe`."""

    tensor: torch.Tensor
    block: tuple[int, ...]


class Plan:
    """The steps of a call and the memory that they write.

    Args:
        device: Where the kernels run.
        stand_ins: The tensors of the call, by name.
    """

    def __init__(self, device: torch.device, stand_ins: Tensors) -> None:
        self.device = device
        self.steps: list[Launch | Call] = []
        self.memory: dict[str, torch.Tensor] = {}
        self._names = {id(stand_in): name for name, stand_in in stand_ins.items()}

    @property
    def launches(self) -> list[Launch]:
        """The steps that are Triton kernels."""
        return [step for step in self.steps if isinstance(step, Launch)]

    def allocate(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """Plans memory for an output or workspace, with the layout of a meta tensor."""
        stand_in = self.memory[name] = _stand_in(_layout(like))
        self._names[id(stand_in)] = name
        return stand_in

    def launch(self, kernel: Any, row: Row, num_programs: int, **arguments: Any) -> None:
        """Plans a launch of a Triton function.

        Its arguments are stand-ins for bare pointers, `strided` ones for matrices, `described`
        ones for blocks, None, or constants, which override the row's blocks.
        """
        operands: dict[str, Operand | Blocks] = {}
        constants = dict(row.blocks)
        for name, value in arguments.items():
            if isinstance(value, Described):
                operands[name] = self._blocks(value)
            elif isinstance(value, torch.Tensor):
                operands[name] = self._operand(value, None)
            elif isinstance(value, tuple):
                operands[name] = self._operand(value[0], value[1:])
            else:
                constants[name] = value
        self.steps.append(Launch(kernel, row, num_programs, operands, constants))

    def call(self, function: Callable[..., Any], *views: torch.Tensor) -> None:
        """Plans a call of a function of torch, by its stand-ins, that writes into some of them."""
        self.steps.append(Call(function, tuple(map(self._view, views))))

    def multiply(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        """Plans out = a b by torch's batched product, for matrices [B, heads, rows, columns].

        torch.bmm takes one batch stride. It is called once if B and heads have one in all three
        tensors, else for each head or each map, whichever are fewer.
        """
        tensors = (a, b, out)
        B, heads = out.shape[:2]
        if all(_has_one_batch_stride(tensor) for tensor in tensors):
            self.call(_multiply, *(tensor.flatten(0, 1) for tensor in tensors))
            return
        dimension = 0 if heads > B else 1
        for index in range(min(B, heads)):
            self.call(_multiply, *(tensor.select(dimension, index) for tensor in tensors))

    def _operand(self, view: torch.Tensor, strides: tuple[int, ...] | None) -> Operand:
        return Operand(self._name(view), view.dtype, int(view.storage_offset()), strides)

    def _blocks(self, described: Described) -> Blocks:
        view = described.tensor
        # The stride of a single entry means nothing, but a descriptor has rules for it.
        strides = tuple(s if n > 1 else 64 for n, s in zip(view.shape, view.stride(), strict=True))
        offset, sizes = int(view.storage_offset()), tuple(view.shape)
        strides = (*strides[:3], 1)
        return Blocks(self._name(view), view.dtype, offset, sizes, strides, described.block)

    def _view(self, view: torch.Tensor) -> View:
        offset = int(view.storage_offset())
        return View(self._name(view), offset, tuple(view.shape), view.stride())

    def _name(self, view: torch.Tensor) -> str:
        return self._names[id(view if view._base is None else view._base)]

    def run(self, tensors: Tensors) -> Tensors:
        """Allocates the memory, adds it to the tensors of the call, and starts the steps."""
        for name, like in self.memory.items():
            tensors[name] = torch.empty_strided(
                like.shape, like.stride(), dtype=like.dtype, device=self.device
            )
        with _on_device(self.device):
            for step in self.steps:
                step.start(tensors)
        return tensors


class Planner:
    """Makes the plan of a call once for each layout of its tensors, and keeps it.

    Args:
        write: Adds the steps to an empty plan; called with that plan, the stand-ins of the
            call's tensors and its settings. Its parameters name the tensors.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._names = list(inspect.signature(write).parameters)[1:]
        self._kept = functools.lru_cache(MAX_PLANS)(self._make)
        _planners.append(self)

    def plan(self, device: torch.device, *arguments: Any) -> Plan:
        """Returns the plan of a call with these tensors and hashable settings."""
        # Without addresses: Triton checks the alignment of pointers itself, in each launch.
        layouts = tuple(map(_layout, arguments))
        # Tuning replaces these functions to try other rows.
        table = (kernel_table.find, kernel_table.architecture_of)
        return self._kept(device, table, _float32_precision(), layouts)

    def run(self, device: torch.device, *arguments: Any) -> Tensors:
        """Runs the plan of a call; returns its tensors and memory by name."""
        tensors = dict(zip(self._names, arguments, strict=True))
        return self.plan(device, *arguments).run(tensors)

    def forget(self) -> None:
        """Drops all plans."""
        self._kept.cache_clear()

    def _make(self, device: torch.device, table: tuple, precision: str, layouts: tuple) -> Plan:
        with torch.inference_mode(False):  # views do not know their base in inference mode
            arguments = [_stand_in(layout) for layout in layouts]
            plan = Plan(device, dict(zip(self._names, arguments, strict=True)))
            self._write(plan, *arguments)
        return plan


_planners: list[Planner] = []


def forget_plans() -> None:
    """Drops all plans, as needed after a change of a module's constants."""
    for planner in _planners:
        planner.forget()


def strided(tensor: torch.Tensor) -> tuple:
    """Returns a tensor as kernels take matrices: the pointer and the strides."""
    return (tensor, *tensor.stride())


def describe(tensor: torch.Tensor, rows: int, channels: int) -> Described:
    """Returns a tensor [B, heads, N, channels] as kernels take blocks of one map of one head."""
    return Described(tensor, (1, 1, rows, channels))


def can_describe(tensor: torch.Tensor) -> bool:
    """Returns whether a descriptor takes the strides of a tensor [B, heads, N, channels]."""
    multiple = 16 // tensor.element_size()
    outer = zip(tensor.shape[:3], tensor.stride()[:3], strict=True)
    is_dense = tensor.stride(3) == 1
    return is_dense and all(n == 1 or (s > 0 and s % multiple == 0) for n, s in outer)


def aligned(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor whose address a descriptor takes: the same one, or a copy of it."""
    return tensor if tensor.data_ptr() % 16 == 0 else tensor.clone()


def precision(dtype: torch.dtype) -> str:
    """Returns how kernels multiply: float32 exactly, unless torch itself may use TF32."""
    return "ieee" if dtype != torch.float32 else _float32_precision()


def memory_format(maps: torch.Tensor) -> torch.memory_format:
    """Returns channels_last if the channels of a position are adjacent in memory."""
    C, H, W = maps.shape[1:]
    is_channels_last = maps.stride(1) == 1 and C > 1 and H * W > 1
    return torch.channels_last if is_channels_last else torch.contiguous_format


def empty_map(like: torch.Tensor) -> torch.Tensor:
    """Returns a dense map in the memory format of another one."""
    return torch.empty_like(like, memory_format=memory_format(like))


def power_of_two(size: int) -> int:
    """Returns the smallest power of two that is at least the size and 16."""
    return max(16, 1 << (size - 1).bit_length())


def ceil_divide(a: int, b: int) -> int:
    """Returns a / b, rounded up."""
    return -(-a // b)


def _has_one_batch_stride(matrices: torch.Tensor) -> bool:
    B, heads = matrices.shape[:2]
    return B == 1 or heads == 1 or matrices.stride(0) == heads * matrices.stride(1)


def _multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.bmm(a, b, out=out)


def _float32_precision() -> str:
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def _layout(argument: Any) -> Any:
    """Returns what a plan may know of a tensor; settings stay as they are."""
    if not isinstance(argument, torch.Tensor):
        return argument
    return argument.shape, argument.stride(), argument.dtype


def _stand_in(layout: Any) -> Any:
    """Returns a meta tensor for the layout of a tensor; settings stay as they are."""
    if not (isinstance(layout, tuple) and isinstance(layout[0], torch.Size)):
        return layout
    shape, strides, dtype = layout
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


def _on_device(device: torch.device) -> contextlib.AbstractContextManager:
    """Makes the GPU of the tensors the current one while kernels are started."""
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        return torch.cuda.device(device)
    return contextlib.nullcontext()
