"""What is timed: plain PyTorch in two memory formats, compiled, the fused attentions, and ours.

A peer's function is handed out only after its output and gradients passed the criterion of parity.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch._functorch import config as functorch_config
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import eager, parity
from benchmarks.cases import Case, Inputs, make_inputs
from benchmarks.parity import Function
from slt_fast.ops import add_positional_encoding_2d, pixel_attention, pixel_attention_block
from slt_fast.ops.pixel_attention_block.one_kernel import MAX_POSITIONS, set_one_kernel

OURS = "ours, channels_last"
# Of the block's forward pass on small maps; "ours" takes what is predicted to be faster.
KERNELS = {"ours, one kernel": True, "ours, two kernels": False}
# FlexAttention chooses its tiles by the key channels alone; with 512 value channels they overflow.
SMALL_TILES = {"num_stages": 1} | dict.fromkeys(
    ["BLOCK_M", "BLOCK_N", "BLOCK_M1", "BLOCK_N1", "BLOCK_M2", "BLOCK_N2"], 32
)
SDPA = {"memory-efficient": SDPBackend.EFFICIENT_ATTENTION, "math": SDPBackend.MATH}


class Peer(NamedTuple):
    """One way to compute an operator."""

    name: str
    build: Callable[[Case], Function]  # makes the function of an Inputs' leaves and constants
    compile_seconds: float = 0  # about how long its first call compiles
    layout: str = "channels_last"  # or "nchw": the memory format of its inputs


def plain(case: Case, layout: str = "channels_last") -> Function:
    """Returns the formula as people write it."""
    if case.operator == "positional_encoding":
        return eager.add_encoding
    if case.operator == "pixel_attention_block":
        sizes = {"key_channels": case.key_channels, "num_heads": case.num_heads}
        return functools.partial(eager.block, **sizes)
    is_channels_first = layout == "nchw" and case.num_heads == 1
    return eager.attention_channels if is_channels_first else eager.attention_tokens


def ours(case: Case, backend: str = "auto", one_kernel: bool | None = None) -> Function:
    """Returns our operator; sets for the whole process which kernels the block takes."""
    set_one_kernel(one_kernel)
    if case.operator == "positional_encoding":
        return lambda x, encoding: add_positional_encoding_2d(x, backend=backend)
    if case.operator == "pixel_attention":
        return lambda q, k, v, bias=None: pixel_attention(q, k, v, bias=bias, backend=backend)
    options = {"key_channels": case.key_channels, "num_heads": case.num_heads, "backend": backend}

    def block(*leaves_and_encoding: torch.Tensor) -> torch.Tensor:
        *leaves, encoding = leaves_and_encoding
        return pixel_attention_block(*leaves, positional_encoding=encoding, **options)

    return block


def peers(operator: str, device: str, backend: str = "auto") -> list[Peer]:
    """Returns all peers of an operator on a device, the most important first."""
    is_attention, on_gpu = operator != "positional_encoding", device == "cuda"
    result = [
        Peer(OURS, lambda case: ours(case, backend)),
        Peer("eager, channels_last", plain),
        Peer("eager, NCHW", lambda case: plain(case, "nchw"), layout="nchw"),
        Peer("ours, NCHW", lambda case: ours(case, backend), layout="nchw"),
    ]
    if on_gpu and operator == "pixel_attention_block":
        result += [
            Peer(name, functools.partial(ours, backend=backend, one_kernel=choice))
            for name, choice in KERNELS.items()
        ]
    if is_attention:
        attentions: dict[str, Function] = {"SDPA": F.scaled_dot_product_attention}
        if on_gpu:
            attentions = {f"SDPA, {name}": _sdpa(backend) for name, backend in SDPA.items()}
        result += [
            Peer(name, functools.partial(_with_attention, attention=attention))
            for name, attention in attentions.items()
        ]
    result.append(Peer("torch.compile", lambda case: _compile(plain(case)), 25))
    if on_gpu and is_attention:
        small = functools.partial(flex, options=SMALL_TILES)
        result += [Peer("FlexAttention", flex, 25), Peer("FlexAttention, small tiles", small, 25)]
    if on_gpu:
        # Without its CUDA graphs, because all peers are timed through graphs of the same kind.
        tuned = functools.partial(_compile, mode="max-autotune-no-cudagraphs")
        result.append(Peer("torch.compile, max-autotune", lambda case: tuned(plain(case)), 50))
    return result


def applies(case: Case, peer: Peer) -> bool:
    """Returns whether a peer differs from the others for this case."""
    return peer.name not in KERNELS or case.N <= MAX_POSITIONS


def peer_of(case: Case, name: str, backend: str = "auto") -> Peer:
    return next(p for p in peers(case.operator, case.device, backend) if p.name == name)


def checked(case: Case, peer: Peer) -> tuple[Function, Inputs, parity.Parity]:
    """Returns a peer's function, its inputs, and its errors with the bounds for ours.

    Raises:
        WrongResult: Its output or a gradient is wrong.
    """
    function, inputs = peer.build(case), make_inputs(case, peer.layout)
    poison = peer.compile_seconds == 0  # compiled code would compile twice
    found = parity.check(function, inputs, _reference(case), poison)
    # Others round in their own way.
    found.require(peer.name, slack=1.0 if peer.name.startswith("ours") else 4.0)
    return function, inputs, found


@functools.lru_cache(maxsize=1)
def _reference(case: Case) -> parity.Reference:
    """Returns the exact results, which are the same for all peers of a case."""
    return parity.Reference.build(plain(case), make_inputs(case, "channels_last"))


def _sdpa(backend: SDPBackend) -> Function:
    def attention(q, k, v) -> torch.Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v)

    return attention


def flex(case: Case, options: dict[str, int] | None = None) -> Function:
    """Returns the operator with FlexAttention, with its own choice of tiles or with given ones."""
    from torch.nn.attention.flex_attention import flex_attention

    attention = functools.partial(_compile(flex_attention), kernel_options=options)
    return _with_attention(case, attention)


def _compile(function: Function, mode: str | None = None) -> Function:
    # A backward pass is timed many times over one forward pass, so its memory must stay.
    functorch_config.donated_buffer = False
    torch._dynamo.reset()  # each size afresh, without the limit on recompilations
    return torch.compile(function, mode=mode, dynamic=False)


def _with_attention(case: Case, attention: Function) -> Function:
    """Returns the operator around a fused, token-major attention."""
    if case.operator == "pixel_attention":
        return attention

    def block(x, qkv_weight, qkv_bias, gamma, encoding) -> torch.Tensor:
        h = x + encoding
        qkv = F.linear(h.flatten(2).transpose(1, 2), qkv_weight, qkv_bias)
        widths = [case.key_channels, case.key_channels, case.C]
        q, k, v = (
            part.unflatten(2, (case.num_heads, -1)).transpose(1, 2)
            for part in qkv.split(widths, dim=2)
        )
        out = attention(q, k, v).transpose(1, 2).flatten(2)
        return h + gamma * out.transpose(1, 2).unflatten(2, h.shape[2:])

    return block
