"""Shapes that are timed or checked, and inputs for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks import eager

OPERATORS = ("pixel_attention", "pixel_attention_block", "positional_encoding")
DIRECTIONS = ("forward", "backward", "both")
SIDES = (7, 14, 28, 56)
# Maps whose scores a GPU's memory holds several times over in the plain formula's backward pass.
EAGER_COPIES = 8


@dataclass(frozen=True)
class Case:
    """A call of an operator on square or other maps.

    Args:
        operator: One of OPERATORS.
        B: Maps.
        H: Height of a map.
        W: Width.
        C: Channels of a map, and of the values.
        key_channels: Channels of queries and keys over all heads.
        num_heads: Heads.
        dtype: Name of the type in torch.
        device: "cpu" or "cuda".
    """

    operator: str
    B: int
    H: int
    W: int
    C: int = 512
    key_channels: int = 64
    num_heads: int = 1
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def N(self) -> int:
        """Positions of a map."""
        return self.H * self.W

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    @property
    def shape(self) -> str:
        """B, C, H, W and the key channels, to be read."""
        return f"{self.B}x{self.C}x{self.H}x{self.W}, keys {self.key_channels}/{self.num_heads}"


@dataclass(frozen=True)
class Inputs:
    """What an operator is called with.

    Args:
        leaves: Tensors that need a gradient.
        constants: Tensors that need none; they follow the leaves in the call.
        gradient: That of the output.
        num_mapped: How many of the leaves hold one entry for each map; they come first.
        names: Of the leaves.
    """

    leaves: tuple[torch.Tensor, ...]
    constants: tuple[torch.Tensor, ...]
    gradient: torch.Tensor
    num_mapped: int
    names: tuple[str, ...]

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        """The same with each tensor changed; leaves anew."""
        return dataclasses.replace(
            self,
            leaves=tuple(change(leaf.detach()).requires_grad_() for leaf in self.leaves),
            constants=tuple(change(constant) for constant in self.constants),
            gradient=change(self.gradient),
        )

    def frames(self, frames: list[int]) -> Inputs:
        """The same for some of the maps only."""
        leaves = [
            (leaf[frames] if index < self.num_mapped else leaf).detach().clone().requires_grad_()
            for index, leaf in enumerate(self.leaves)
        ]
        return dataclasses.replace(self, leaves=tuple(leaves), gradient=self.gradient[frames])

    @property
    def num_bytes(self) -> int:
        """Bytes of all of them."""
        tensors = (*self.leaves, *self.constants, self.gradient)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def case_of(operator: str, side: int, device: str) -> Case:
    """The case that is timed: small batches in float32 on a CPU, 256 in bfloat16 on a GPU."""
    if device == "cpu":
        return Case(operator, {7: 32, 14: 8, 28: 2, 56: 1}[side], side, side)
    B = 256
    memory = torch.cuda.get_device_properties(device).total_memory
    while operator != "positional_encoding" and EAGER_COPIES * 2 * B * side**4 > 0.6 * memory:
        B //= 2
    return Case(operator, B, side, side, dtype="bfloat16", device=device)


def make_inputs(case: Case, layout: str, seed: int = 0) -> Inputs:
    """Random inputs; the values do not depend on the layout.

    Args:
        case: The shapes.
        layout: "channels_last" (for q, k, v: token by token) or "nchw" (channel by channel).
        seed: Of the values.
    """
    generator = torch.Generator(case.device).manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=case.device)

    if case.operator == "pixel_attention":
        widths = (case.key_channels, case.key_channels, case.C)
        shapes = [(case.B, case.num_heads, case.N, width // case.num_heads) for width in widths]
        leaves, names = [random(*shape) for shape in shapes], ("q", "k", "v")
        constants, gradient = [], random(*shapes[2]) + 0.5
    else:
        shape = (case.B, case.C, case.H, case.W)
        leaves, names = [random(*shape)], ("x",)
        constants = [eager.sinusoid(*shape[1:]).to(case.device)]
        gradient = random(*shape) + 0.5
    if case.operator == "pixel_attention_block":
        rows = 2 * case.key_channels + case.C
        # Values and gradients of one sign in the mean keep gamma's gradient away from 0, where no
        # relative error says anything.
        leaves += [random(rows, case.C) * case.C**-0.5, random(rows).abs() / 2]
        leaves.append(torch.tensor(0.7, device=case.device))
        names += ("qkv_weight", "qkv_bias", "gamma")
    num_mapped = 3 if case.operator == "pixel_attention" else 1
    inputs = Inputs(tuple(leaves), tuple(constants), gradient, num_mapped, names)
    place = _tokens_in_memory if case.operator == "pixel_attention" else _map_in_memory
    return inputs.changed(lambda tensor: place(tensor.to(case.torch_dtype), layout))


def _tokens_in_memory(heads: torch.Tensor, layout: str) -> torch.Tensor:
    """[B, heads, N, channels] as a channels_last map holds it, or one of channels first."""
    if layout == "nchw":
        return heads.mT.contiguous().mT
    return heads.transpose(1, 2).contiguous().transpose(1, 2)


def _map_in_memory(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """[B, C, H, W] or [C, H, W] in its layout; weights and scalars as they are."""
    if layout == "nchw" or tensor.ndim < 3:
        return tensor
    return tensor.movedim(-3, -1).contiguous().movedim(-1, -3)
