"""Attention over the positions of a map: softmax(q k^T * scale + bias) v.

Value channels may differ from key channels and the number of queries from the number of keys, as in
SAGAN (Zhang et al., 2019) and non-local networks (Wang et al., 2018), where the keys are narrow and
the values wide.
"""

from __future__ import annotations

import torch

from slt_fast.ops.backend import choose_backend


def pixel_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Computes softmax(q k^T * scale + bias) v.

    Args:
        q: [B, heads, Nq, dk], any strides.
        k: [B, heads, Nk, dk].
        v: [B, heads, Nk, dv].
        bias: Broadcasts to [B, heads, Nq, Nk], or None; may need a gradient.
        scale: Factor on q k^T; None means dk ** -0.5.
        backend: "auto" or "reference".

    Returns:
        [B, heads, Nq, dv] in the type of v.

    Raises:
        ValueError: Shapes that do not fit, or a backend that cannot run.
    """
    _check(q, k, v, bias)
    choose_backend("pixel_attention", backend, q)
    return pixel_attention_reference(q, k, v, bias=bias, scale=scale)


def pixel_attention_reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """The formula in plain PyTorch; arguments as for pixel_attention; softmax in float32."""
    scores = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.mT
    if bias is not None:
        scores = scores + bias
    wide = torch.promote_types(scores.dtype, torch.float32)
    return scores.softmax(-1, dtype=wide).to(v.dtype) @ v


def _check(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if tensor.ndim != 4:
            raise ValueError(
                f"pixel_attention: found {name} of {list(tensor.shape)}; "
                "expected [B, heads, N, channels]"
            )
    B, heads, Nq, dk = q.shape
    Nk = k.shape[2]
    for name, tensor, expected in (
        ("k", k, [B, heads, Nk, dk]),
        ("v", v, [B, heads, Nk, v.shape[3]]),
    ):
        if list(tensor.shape) != expected:
            raise ValueError(
                f"pixel_attention: found {name} of {list(tensor.shape)}; expected {expected}"
            )
    if bias is not None:
        full = (B, heads, Nq, Nk)
        fits = bias.ndim <= 4 and all(
            size in (1, wanted)
            for size, wanted in zip(reversed(bias.shape), reversed(full), strict=False)
        )
        if not fits:
            raise ValueError(
                f"pixel_attention: found bias of {list(bias.shape)}; "
                f"expected a shape that broadcasts to {list(full)}"
            )
