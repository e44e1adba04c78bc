"""The least time that the hardware allows: bytes over bandwidth, or operations over their rate.

Two floors: the ideal, where inputs are read and outputs written once and nothing else moves; and
that of separate kernels (projection, attention; their backward passes), each of which reads and
writes what it must and finds nothing in the cache. Backward passes read q, k and v and recompute
the softmax's weights.
"""

from typing import NamedTuple

import torch

from benchmarks.cases import Case
from benchmarks.timing import Step, time_steps


class Work(NamedTuple):
    """The least work of a kernel."""

    operations: float  # multiplications and additions of its matrix products
    num_bytes: float  # read and written


class Ceilings(NamedTuple):
    """Rates measured on the machine."""

    bandwidth: float  # bytes a second, read plus written, of a large copy
    rate: float  # operations a second of a large matrix product in the case's type

    def seconds(self, works: list[Work]) -> float:
        """Computes the floor of kernels that run one after the other."""
        return sum(max(w.num_bytes / self.bandwidth, w.operations / self.rate) for w in works)


def ideal(case: Case, direction: str) -> list[Work]:
    """Returns the work of one pass over inputs and outputs; of two for "both"."""
    if direction == "both":
        return [work for part in ("forward", "backward") for work in ideal(case, part)]
    works = kernels(case, direction)
    if case.operator != "pixel_attention_block":
        return works
    maps, qkv, weights = _block_bytes(case)
    moved = 2 * maps if direction == "forward" else 3 * maps + qkv + weights
    return [Work(sum(work.operations for work in works), moved + weights)]


def kernels(case: Case, direction: str) -> list[Work]:
    """Returns the work of separate kernels."""
    if direction == "both":
        return [work for part in ("forward", "backward") for work in kernels(case, part)]
    if case.operator == "positional_encoding":
        num_maps = 2 * case.B + 1 if direction == "forward" else 0
        return [Work(0, num_maps * case.C * case.N * case.torch_dtype.itemsize)]
    attention = _attention(case, direction)
    if case.operator == "pixel_attention":
        return [attention]
    maps, qkv, weights = _block_bytes(case)
    product = 2 * case.B * case.N * case.C * (2 * case.key_channels + case.C)
    if direction == "forward":
        with_residual = Work(attention.operations, attention.num_bytes + maps)
        return [Work(product, maps + qkv + weights), with_residual]
    to_map = Work(product, qkv + 2 * maps + weights)
    to_weights = Work(product, qkv + maps + weights)
    return [attention, to_map, to_weights]


def _attention(case: Case, direction: str) -> Work:
    """Returns the work of softmax(q k^T) v alone: 2 products forward, 5 backward."""
    pairs = 2 * case.B * case.N**2
    keys, values = case.key_channels, case.C
    tokens = case.B * case.N * case.torch_dtype.itemsize
    bias = case.num_heads * case.N**2 * case.torch_dtype.itemsize if case.biased else 0
    if direction == "forward":
        return Work(pairs * (keys + values), tokens * (2 * keys + 2 * values) + bias)
    return Work(pairs * (3 * keys + 2 * values), tokens * (4 * keys + 3 * values) + 2 * bias)


def _block_bytes(case: Case) -> tuple[float, float, float]:
    """Returns the bytes of the maps, of the packed q, k, v, and of the projection's weights."""
    itemsize, rows = case.torch_dtype.itemsize, 2 * case.key_channels + case.C
    tokens = case.B * case.N * itemsize
    return tokens * case.C, tokens * rows, rows * case.C * itemsize


def measured(device: str, dtype: str) -> dict[str, float]:
    """Copies a large tensor and multiplies two large matrices; returns the fields of Ceilings."""
    num_values, side = (2**28, 8192) if device == "cuda" else (2**24, 1024)
    source = torch.randn(num_values, device=device)
    target = torch.empty_like(source)
    left, right = torch.randn(2, side, side, device=device).to(getattr(torch, dtype))
    copy = _seconds(lambda: target.copy_(source), device)
    product = _seconds(lambda: left @ right, device)
    return {"bandwidth": 2 * source.nbytes / copy, "rate": 2 * side**3 / product}


def _seconds(step: Step, device: str) -> float:
    return time_steps([step], torch.device(device), seconds=0.2)["median"]
