"""Pixel attention and its gradients in plain PyTorch; the kernels are tested against them."""

import torch


def softmax_weights(
    q: torch.Tensor, k: torch.Tensor, bias: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """Computes softmax(q k^T * scale + bias): [B, heads, Nq, Nk], in float32 at least."""
    scores, blind = (q * scale) @ k.mT, None
    if bias is not None:
        bias, blind = additive(bias, q.dtype)
        scores = scores + repeated_bias(bias, len(q))
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return weights if blind is None else weights.masked_fill(repeated_bias(blind, len(q)), 0)


def additive(bias: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Turns a mask into a bias of 0 and -inf; leaves other biases alone.

    Also returns which rows of a mask see no key, [..., 1]. Their bias is 0, because -inf would give
    NaN, in gradients as well: the caller writes their zeros.
    """
    if bias.dtype != torch.bool:
        return bias, None
    blind = ~bias.any(-1, keepdim=True)
    return torch.zeros_like(bias, dtype=dtype).masked_fill(~(bias | blind), -torch.inf), blind


def pixel_attention_reference(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Computes pixel attention by the formula; the softmax is float32 at least."""
    weights = softmax_weights(q, k, bias, scale).to(v.dtype)
    if v.stride(-1) != 1:  # the output is channel-major as v is
        return (v.mT @ weights.mT).mT
    return weights @ v


def pixel_attention_gradients(
    gradient: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Computes the gradients of q, k, v and bias from that of the output; differentiable."""
    weights = softmax_weights(q, k, bias, scale)
    dv = weights.to(v.dtype).mT @ gradient
    d_weights = (gradient @ v.mT).to(weights.dtype)
    d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdim=True))
    dbias = None if bias is None or bias.dtype == torch.bool else sum_to_bias(d_scores, bias)
    d_scores = d_scores.to(q.dtype)
    return d_scores @ k * scale, d_scores.mT @ q * scale, dv, dbias


def repeated_bias(bias: torch.Tensor, B: int) -> torch.Tensor:
    """Returns a bias that broadcasts to [B, heads, Nq, Nk] by repeating its batch entries."""
    if bias.ndim < 4 or bias.shape[0] in (1, B):
        return bias
    return bias.repeat(B // bias.shape[0], 1, 1, 1)


def sum_to_bias(d_scores: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Computes the gradient of a bias from that of the scores [B, heads, Nq, Nk]."""
    if bias.ndim == 4 and bias.shape[0] > 1:
        d_scores = d_scores.unflatten(0, (-1, bias.shape[0])).sum(0)
    return d_scores.sum_to_size(bias.shape).to(bias.dtype)
