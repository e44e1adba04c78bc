"""The plan of a call: which kernels run, with which blocks, on how many programs, in which memory.

A step of a plan is the launch of a Triton kernel, or a call of torch on views of named tensors.

A plan depends on the layout of the tensors (shape, strides, type), on the device and on settings
such as the scale, never on the tensors' values or addresses. A `Planner` keeps it. The function
that writes it down gets stand-ins of the tensors (meta tensors, which have a layout and no memory).
It may hand views of them to kernels: a plan keeps a view as the name of its tensor, an offset and
strides.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.kernel_table import Row
from slt_fast.ops.layouts import Layouts, layouts_of, stand_ins
from slt_fast.ops.replaying import Replay, has_hooks, write_replay
from slt_fast.ops.steps import Blocks, Call, Launch, Operand, Steps, Tensors, View

MAX_PLANS = 256  # kept by each planner
_MATMUL = torch.backends.cuda.matmul


@dataclass(frozen=True)
class Described:
    """A stand-in that a kernel takes block by block; see `describe`."""

    tensor: torch.Tensor
    block: tuple[int, ...]


class Plan(Steps):
    """The steps of a call and the memory that they write.

    Args:
        device: Where the kernels run.
        stand_ins: The tensors of the call, by name.
    """

    def __init__(self, device: torch.device, stand_ins: Tensors) -> None:
        super().__init__(device)
        self._gpu = device.index if device.type == "cuda" else None
        self._replay: Replay | None = None
        self._stand_ins = dict(stand_ins)

    def allocate(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """Plans memory for an output or workspace, with the layout of a meta tensor."""
        assert name.isidentifier(), name  # replays have a variable of this name
        stand_in = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
        self.memory[name] = self._stand_ins[name] = stand_in
        return stand_in

    def keep(self, name: str, constant: torch.Tensor) -> torch.Tensor:
        """Plans to hand the same tensor to each run."""
        self.constants[name] = constant
        stand_in = torch.empty_like(constant, device="meta")
        self._stand_ins[name] = stand_in
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
        if view._base is None:
            return View(self._name(view), tuple(view.shape), None)
        layout = (view.stride(), int(view.storage_offset()))
        return View(self._name(view), tuple(view.shape), layout)

    def _name(self, view: torch.Tensor) -> str:
        base = view if view._base is None else view._base
        return next(name for name, stand_in in self._stand_ins.items() if stand_in is base)

    def run(self, names: list[str], arguments: tuple) -> Tensors:
        """Allocates the memory of a call with these arguments and starts its steps.

        Returns:
            The memory by name.
        """
        if self._gpu is not None and self._gpu != torch.cuda.current_device():
            with torch.cuda.device(self._gpu):
                return self._run_here(names, arguments)
        return self._run_here(names, arguments)

    def _run_here(self, names: list[str], arguments: tuple) -> Tensors:
        if self._replay is not None and not has_hooks():
            memory = self._replay(*arguments)
            if memory is not None:
                return memory
        return self._start(names, arguments)

    def _start(self, names: list[str], arguments: tuple) -> Tensors:
        """Starts each kernel through Triton, and writes the replay for the calls that follow."""
        memory = {
            name: torch.empty_strided(
                like.shape, like.stride(), dtype=like.dtype, device=self.device
            )
            for name, like in self.memory.items()
        }
        tensors = dict(zip(names, arguments, strict=True)) | self.constants | memory
        started = [step.start(tensors) for step in self.steps]
        if self._replay is None:
            self._replay = write_replay(self, names, tensors, started)
        return memory


class Planner:
    """Makes the plan of a call once for each layout of its tensors, and keeps it.

    Args:
        write: Adds the steps to an empty plan; called with that plan, the stand-ins of the
            call's tensors and its settings. Its parameters name the tensors, which come first.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        parameters = list(inspect.signature(write).parameters.values())[1:]
        self.names = [parameter.name for parameter in parameters]
        self._num_tensors = sum("Tensor" in str(each.annotation) for each in parameters)
        self._kept = functools.lru_cache(MAX_PLANS)(self._make)
        _planners.append(self)

    def plan(self, device: torch.device, *arguments: Any) -> Plan:
        """Returns the plan of a call with these tensors and hashable settings."""
        tensors, settings = arguments[: self._num_tensors], arguments[self._num_tensors :]
        return self._kept(device, machine_state(), layouts_of(tensors), settings)

    def forget(self) -> None:
        """Drops all plans."""
        self._kept.cache_clear()

    def _make(self, device: torch.device, state: tuple, layouts: Layouts, settings: tuple) -> Plan:
        with torch.inference_mode(False):  # views do not know their base in inference mode
            arguments = [*stand_ins(layouts), *settings]
            plan = Plan(device, dict(zip(self.names, arguments, strict=True)))
            self._write(plan, *arguments)
        return plan


class Plans:
    """The plans of calls whose tensors all have the same layouts and whose settings are equal."""

    def __init__(self) -> None:
        self._kept: dict[tuple, Plan] = {}
        _all_plans.add(self)

    def run(
        self, planner: Planner, device: torch.device, *arguments: Any, key: tuple = ()
    ) -> Tensors:
        """Runs the plan of a call, as Planner.run.

        Args:
            key: Everything that the layouts of these arguments depend on besides the layouts and
                settings that the calls share, as that of a gradient.
        """
        plan = self._kept.get((planner, key))
        if plan is None:
            if len(self._kept) >= MAX_PLANS:
                self._kept.clear()
            plan = self._kept[planner, key] = planner.plan(device, *arguments)
        return plan.run(planner.names, arguments)

    def forget(self) -> None:
        """Drops all plans."""
        self._kept.clear()


class _NoPlans(Plans):
    """Stands for the plans of calls of any layout, which each planner knows by itself."""

    def run(
        self, planner: Planner, device: torch.device, *arguments: Any, key: tuple = ()
    ) -> Tensors:
        """Runs the plan of a call."""
        return planner.plan(device, *arguments).run(planner.names, arguments)


_all_plans: weakref.WeakSet[Plans] = weakref.WeakSet()
NO_PLANS = _NoPlans()
_planners: list[Planner] = []


def forget_plans() -> None:
    """Drops all plans, as needed after a change of a module's constants."""
    for planner in _planners:
        planner.forget()
    for plans in _all_plans:
        plans.forget()


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


def machine_state() -> tuple:
    """Returns what plans depend on besides the call: the kernel table and float32 products."""
    # Tuning replaces these functions to try other rows.
    return kernel_table.find, kernel_table.architecture_of, _float32_precision()


def _float32_precision() -> str:
    return "tf32" if _MATMUL.fp32_precision == "tf32" else "ieee"
