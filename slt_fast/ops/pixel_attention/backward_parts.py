"""The gradients of an attention, and the parts of a call whose workspace fits into the limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from slt_fast.ops.launching import ceil_divide
from slt_fast.ops.pixel_attention.attention import Attention


@dataclass(frozen=True)
class Gradients:
    """Where the backward pass of an attention reads the output's gradient and writes its results.

    All are stand-ins [B, heads, ...].
    """

    output: torch.Tensor  # [B, heads, Nq, dv], any strides and type, without gamma
    q: torch.Tensor  # [B, heads, Nq, dk]
    k: torch.Tensor  # [B, heads, Nk, dk]
    v: torch.Tensor  # [B, heads, Nk, dv]
    delta: torch.Tensor | None  # [B, heads, Nq] float32, contiguous; its sum is gamma's gradient
    bias: torch.Tensor | None  # [1, bias_batches, heads, Nq, Nk] float32; None if not wanted


def allocate_gradients(
    attention: Attention,
    gradient: torch.Tensor,
    into: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    needs_delta: bool,
    needs_dbias: bool,
) -> Gradients:
    """Plans memory for delta and the bias's gradient, as far as they are needed."""
    _, heads, Nq, Nk, _, _ = attention.shape
    delta = dbias = None
    if needs_delta:
        delta = attention.allocate_rows("delta")
    if needs_dbias:
        entries = (1, attention.bias_batches, heads, Nq, Nk)
        dbias = attention.q.new_empty(entries, dtype=torch.float32)
        dbias = attention.plan.allocate("partial", dbias)
    return Gradients(gradient, *into, delta, dbias)


@dataclass(frozen=True)
class Part:
    """Some maps and heads of a call."""

    maps: slice
    heads: slice
    shared: slice  # entries of the bias that these maps take

    @property
    def num_maps(self) -> int:
        return self.maps.stop - self.maps.start

    @property
    def num_heads(self) -> int:
        return self.heads.stop - self.heads.start


def parts(attention: Attention, bytes_each: int, limit: int) -> list[Part]:
    """Divides a call so that the workspace of each part is below a limit.

    Args:
        attention: The call.
        bytes_each: Workspace of one map of one head, which is the least a part can be.
        limit: Bytes that the workspace of a part may take.
    """
    B, heads, *_ = attention.shape
    shared = attention.bias_batches
    most = max(1, limit // bytes_each)
    head_slices = _even_slices(heads, most)
    most_maps = max(1, most // heads)
    found = []
    for maps, entries in _map_slices(B, shared, most_maps):
        found += [Part(maps, part, entries) for part in head_slices]
    return found


def _map_slices(B: int, shared: int, most: int) -> list[tuple[slice, slice]]:
    """Returns slices of the maps, and of the bias that is repeated every `shared` maps."""
    if most >= shared:  # whole repetitions
        slices = _even_slices(B // shared, most // shared)
        return [(slice(s.start * shared, s.stop * shared), slice(0, shared)) for s in slices]
    return [
        (slice(first + s.start, first + s.stop), s)
        for first in range(0, B, shared)
        for s in _even_slices(shared, most)
    ]


def _even_slices(total: int, most: int) -> list[slice]:
    """Divides range(total) into as few slices of at most `most` as possible, of nearly one size."""
    size = ceil_divide(total, ceil_divide(total, most))
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def of_part(attention: Attention, gradients: Gradients, part: Part) -> tuple[Attention, Gradients]:
    """Returns views of a call's tensors for some of its maps and heads."""
    _, heads, Nq, Nk, _, _ = attention.shape
    chosen, bias, dbias = (part.maps, part.heads), attention.bias, gradients.bias
    if bias is not None:
        bias = bias.expand(attention.bias_batches, heads, Nq, Nk)[part.shared, part.heads]
    if dbias is not None:
        dbias = dbias[:, part.shared, part.heads]
    delta = None if gradients.delta is None else gradients.delta[chosen]
    q, k, v = (tensor[chosen] for tensor in (attention.q, attention.k, attention.v))
    of_gradients = Gradients(
        gradients.output[chosen],
        gradients.q[chosen],
        gradients.k[chosen],
        gradients.v[chosen],
        delta,
        dbias,
    )
    return replace(attention, q=q, k=k, v=v, bias=bias), of_gradients
