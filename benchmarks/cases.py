"""Shapes that are timed, and inputs for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks import eager

OPERATORS = ("pixel_attention", "pixel_attention_block", "positional_encoding")
# Sides of the maps that are timed, and their channels: those of the paper's ResNet18.
SIDES = (7, 14, 28, 56)
CHANNELS, KEY_CHANNELS = 512, 64
# The plain formula's backward pass keeps several copies of the scores in a GPU's memory.
EAGER_COPIES = 8


@dataclass(frozen=True)
class Case:
    """A call of one of OPERATORS on B maps of H x W positions."""

    operator: str
    B: int
    H: int
    W: int
    C: int = CHANNELS  # of a map, and of the values
    key_channels: int = KEY_CHANNELS  # of queries and keys over all heads
    num_heads: int = 1
    dtype: str = "float32"  # its name in torch
    device: str = "cpu"  # or "cuda"
    biased: bool = False  # attention alone: a learned bias [heads, N, N] is added to the scores

    @property
    def N(self) -> int:
        """Positions of a map."""
        return self.H * self.W

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)


@dataclass(frozen=True)
class Inputs:
    """The tensors of a call."""

    leaves: tuple[torch.Tensor, ...]  # they need a gradient
    constants: tuple[torch.Tensor, ...]  # they need none, and follow the leaves in the call
    gradient: torch.Tensor  # of the output
    num_mapped: int  # of leaves that hold one entry for each map; they come first
    names: tuple[str, ...]  # of the leaves

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        """Returns changed tensors, with fresh leaves."""
        return dataclasses.replace(
            self,
            leaves=tuple(change(leaf.detach()).requires_grad_() for leaf in self.leaves),
            constants=tuple(change(constant) for constant in self.constants),
            gradient=change(self.gradient),
        )

    def of_maps(self, maps: list[int]) -> Inputs:
        """Returns copies of the inputs for some of the maps only."""
        few = [leaf[maps] for leaf in self.leaves[: self.num_mapped]]
        leaves = (*few, *self.leaves[self.num_mapped :])
        few_inputs = dataclasses.replace(self, leaves=leaves, gradient=self.gradient[maps])
        return few_inputs.changed(torch.clone)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return (*self.leaves, *self.constants, self.gradient)


def case_of(operator: str, side: int, device: str) -> Case:
    """Returns the case that is timed: small float32 batches on a CPU, 256 bfloat16 on a GPU."""
    if device == "cpu":
        return Case(operator, {7: 32, 14: 8, 28: 2, 56: 1}[side], side, side)
    B = 256
    memory = torch.cuda.get_device_properties(device).total_memory
    while operator != "positional_encoding" and EAGER_COPIES * 2 * B * side**4 > 0.6 * memory:
        B //= 2
    return Case(operator, B, side, side, dtype="bfloat16", device=device)


def regime_cases(device: str) -> list[Case]:
    """Returns calls for the kernels that no call of `case_of` takes, and float32 ones."""
    attention, block = "pixel_attention", "pixel_attention_block"
    half = {"dtype": "bfloat16", "device": device}
    exact = {"dtype": "float32", "device": device}
    vit = Case(attention, 32, 24, 24, C=768, key_channels=768, num_heads=12, **half)
    swin = Case(attention, 1024, 7, 7, C=96, key_channels=96, num_heads=3, biased=True, **half)
    return [
        vit,  # blocks of keys with narrow values
        dataclasses.replace(vit, biased=True),
        swin,  # whole maps, and the gradient of their bias
        Case(attention, 256, 14, 14, biased=True, **half),  # by weights
        Case(attention, 64, 28, 28, biased=True, **half),  # blocks of keys with wide values
        Case(attention, 4, 56, 56, **exact),  # sums over the most keys, in two levels
        Case(block, 64, 28, 28, **exact),
        Case(block, 64, 17, 19, **exact),
    ]


def moving_clip(T: int, H: int, W: int, seed: int = 0) -> torch.Tensor:
    """Returns frames of smooth noise, [T, H, W] uint8.

    Each frame shows a part one pixel lower and two to the right of the frame before.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, H // 4 + 4, W // 4 + 4, generator=generator) * 255
    size = (H + 2 * T, W + 2 * T)
    image = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0, 0].clamp(0, 255).byte()
    return torch.stack([image[t : t + H, 2 * t : 2 * t + W] for t in range(T)])


def make_inputs(case: Case, layout: str, seed: int = 0) -> Inputs:
    """Makes random inputs; the values do not depend on the layout.

    The layout is "channels_last" (for q, k, v: token-major) or "nchw" (channel-major).
    """
    generator = torch.Generator(case.device).manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=case.device)

    is_attention = case.operator == "pixel_attention"
    if is_attention:
        widths = (case.key_channels, case.key_channels, case.C)
        shapes = [(case.B, case.num_heads, case.N, width // case.num_heads) for width in widths]
        leaves, constants = [random(*shape) for shape in shapes], []
    else:
        shapes = [(case.B, case.C, case.H, case.W)]
        leaves = [random(*shapes[0])]
        constants = [eager.sinusoid(case.C, case.H, case.W).to(case.device)]
    # Values and gradients of one sign in the mean keep gamma's gradient away from 0, where a
    # relative error means nothing.
    gradient = random(*shapes[-1]) + 0.5
    if case.biased:
        leaves.append(random(case.num_heads, case.N, case.N))
    if case.operator == "pixel_attention_block":
        rows = 2 * case.key_channels + case.C
        leaves += [random(rows, case.C) * case.C**-0.5, random(rows).abs() / 2]
        leaves.append(torch.tensor(0.7, device=case.device))
    names = ("q", "k", "v", "bias") if is_attention else ("x", "qkv_weight", "qkv_bias", "gamma")
    inputs = Inputs(tuple(leaves), tuple(constants), gradient, len(shapes), names[: len(leaves)])
    return inputs.changed(lambda tensor: _placed(tensor.to(case.torch_dtype), layout, is_attention))


def _placed(tensor: torch.Tensor, layout: str, is_attention: bool) -> torch.Tensor:
    """Lays out [B, heads, N, channels] as a map in the layout, or [.., C, H, W]."""
    if is_attention and tensor.ndim == 4:
        axes = (2, 3) if layout == "nchw" else (1, 2)
        return tensor.transpose(*axes).contiguous().transpose(*axes)
    if is_attention or layout == "nchw" or tensor.ndim < 3:  # others have no layout
        return tensor
    return tensor.movedim(-3, -1).contiguous().movedim(-1, -3)
