"""nn.MultiheadAttention, as in torchvision's ViT, with the fused attention."""

import torch
from torch import nn
from torch.nn import functional as F

from slt_fast.ops import attention_weights, pixel_attention
from slt_fast.ops.backend import check_tensors


class FusedMultiheadAttention(nn.MultiheadAttention):
    """nn.MultiheadAttention with the fused attention; see use_pixel_attention."""

    backend = "auto"

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Computes what nn.MultiheadAttention computes; a query that sees no key gets zeros.

        Args:
            query: [B, Nq, C].
            key: [B, Nk, C].
            value: [B, Nk, C].
            key_padding_mask: [B, Nk]; bool with True = padding, or a float that is added.
            need_weights: Whether the weights are returned, computed by the plain formula.
            attn_mask: [Nq, Nk] or [B * heads, Nq, Nk]; bool with True = hidden, or a float that is
                added to the scores.
            average_attn_weights: Whether the weights are averaged over heads.
            is_causal: Hint that attn_mask is causal; not used.

        Returns:
            [B, Nq, C], and None or the weights, [B, Nq, Nk] or [B, heads, Nq, Nk].

        Raises:
            TypeError: An argument is not a tensor.
            ValueError: Shapes, types or settings that the fused attention does not take.
        """
        check_multihead(self, type(self).__name__)
        check_dropout(self, "dropout", self.dropout)
        _check_inputs(self.embed_dim, {"query": query, "key": key, "value": value})
        if is_causal and attn_mask is None:
            raise ValueError("FusedMultiheadAttention: found is_causal; expected attn_mask with it")
        q, k, v = (
            projected.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projected in self._projected(query, key, value)
        )
        bias = _masks_as_bias(attn_mask, key_padding_mask, q, k)
        attended, weights = _attend(q, k, v, bias, need_weights, self.backend)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), weights

    def _projected(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        if query is key and key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=2)
        weights = self.in_proj_weight.chunk(3)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return tuple(map(F.linear, (query, key, value), weights, biases))


def check_multihead(module: nn.MultiheadAttention, name: str) -> None:
    """Raises ValueError if the fused attention does not take a module of this kind."""
    found = [
        text
        for text, is_found in (
            ("batch_first=False", not module.batch_first),
            ("add_bias_kv=True", module.bias_k is not None),
            ("add_zero_attn=True", module.add_zero_attn),
            ("kdim or vdim other than embed_dim", module.in_proj_weight is None),
        )
        if is_found
    ]
    if found:
        raise ValueError(f"{name}: found {', '.join(found)}; the fused attention does not take it")


def _check_inputs(C: int, tensors: dict[str, torch.Tensor]) -> None:
    check_tensors("FusedMultiheadAttention", tensors)
    for name, tensor in tensors.items():
        if tensor.ndim != 3 or tensor.shape[2] != C:
            expected = f"[B, {'Nq' if name == 'query' else 'Nk'}, C] with C = {C}"
            found = f"found {name} of {list(tensor.shape)}; expected {expected}"
            raise ValueError(f"FusedMultiheadAttention: {found}")


def _masks_as_bias(
    attn_mask: torch.Tensor | None,
    key_padding_mask: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
) -> torch.Tensor | None:
    """Returns both masks as one bias of the scores, broadcasting to [B, heads, Nq, Nk]."""
    B, heads, Nq, _ = q.shape
    Nk = k.shape[2]
    bias = None
    of_scores: dict[tuple[int, ...], tuple[int, int]] = {
        (Nq, Nk): (1, 1),
        (B * heads, Nq, Nk): (B, heads),
    }
    of_keys: dict[tuple[int, ...], tuple[int, int]] = {(B, Nk): (B, 1)}
    for name, mask, sizes in (
        ("attn_mask", attn_mask, of_scores),
        ("key_padding_mask", key_padding_mask, of_keys),
    ):
        if mask is None:
            continue
        check_tensors("FusedMultiheadAttention", {"query": q, name: mask})
        if not (mask.is_floating_point() or mask.dtype == torch.bool):
            found = f"found {name} of {mask.dtype}; expected bool or a floating-point type"
            raise ValueError(f"FusedMultiheadAttention: {found}")
        if tuple(mask.shape) not in sizes:
            expected = " or ".join(str(list(size)) for size in sizes)
            found = f"found {name} of {list(mask.shape)}; expected {expected}"
            raise ValueError(f"FusedMultiheadAttention: {found}")
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -torch.inf)
        mask = mask.reshape(*sizes[tuple(mask.shape)], -1, Nk)
        bias = mask if bias is None else bias + mask
    return bias


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    need_weights: bool,
    backend: str,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns the output and the weights or None; zeros for queries that see no key."""
    if bias is not None:
        blind = (bias == -torch.inf).all(-1, keepdim=True)
        bias = bias.masked_fill(blind, 0)  # otherwise NaN, also in all gradients
    attended = pixel_attention(q, k, v, bias=bias, backend=backend)
    weights = attention_weights(q, k, bias=bias) if need_weights else None
    if bias is not None:
        attended = attended.masked_fill(blind, 0)
        weights = None if weights is None else weights.masked_fill(blind, 0)
    return attended, weights


def check_dropout(module: nn.Module, name: str, probability: float) -> None:
    """Raises ValueError for dropout in training: it needs the weights, which kernels never hold."""
    if module.training and probability > 0:
        raise ValueError(
            f"{type(module).__name__}: found {name}={probability} in training mode; expected 0, "
            "as the fused attention never holds the weights to drop"
        )
