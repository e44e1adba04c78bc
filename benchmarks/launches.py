"""Times of single calls on the CPU, from Python to the driver; run as a program.

Standard input: a name of CALLS a line. Standard output: seconds of a call, for each line. Kernels
are compiled and started but not run (see stub_driver), while eager PyTorch really computes, on maps
so small that it hardly counts.
"""

import sys
import time
from collections.abc import Callable

from benchmarks import stub_driver

if __name__ == "__main__":
    stub_driver.activate()

import torch

from benchmarks import eager
from slt_fast.ops import add_positional_encoding_2d, pixel_attention, pixel_attention_block
from slt_fast.ops.pixel_attention_block.one_kernel import set_one_kernel

ONE_KERNEL = "pixel_attention_block in one kernel"
B, C, K, SIDE = 2, 64, 16, 2
CALLS_A_SAMPLE = 50

torch.manual_seed(0)
x = torch.randn(B, C, SIDE, SIDE).contiguous(memory_format=torch.channels_last).requires_grad_()
weight = torch.randn(2 * K + C, C, requires_grad=True)
bias, gamma = torch.randn(2 * K + C, requires_grad=True), torch.tensor(0.5, requires_grad=True)
encoding = torch.randn(C, SIDE, SIDE)
q, k = (torch.randn(B, 1, SIDE * SIDE, K, requires_grad=True) for _ in range(2))
v = torch.randn(B, 1, SIDE * SIDE, C, requires_grad=True)
# As one kernel takes them on sm_90.
KEYS = 64
half = {"dtype": torch.bfloat16}
x_half = x.detach().to(**half).requires_grad_()
weight_half = torch.randn(2 * KEYS + C, C, **half, requires_grad=True)
bias_half, encoding_half = (
    torch.randn(2 * KEYS + C, **half, requires_grad=True),
    encoding.to(**half),
)
set_one_kernel(True)


def block() -> torch.Tensor:
    options = {"key_channels": K, "positional_encoding": encoding, "backend": "triton"}
    return pixel_attention_block(x, weight, bias, gamma, **options)


def eager_block() -> torch.Tensor:
    return eager.block(x, weight, bias, gamma, encoding, key_channels=K, num_heads=1)


def one_kernel() -> torch.Tensor:
    options = {"key_channels": KEYS, "positional_encoding": encoding_half, "backend": "triton"}
    return pixel_attention_block(x_half, weight_half, bias_half, gamma, **options)


def eager_half_block() -> torch.Tensor:
    given = (x_half, weight_half, bias_half, gamma, encoding_half)
    return eager.block(*given, key_channels=KEYS, num_heads=1)


def attention() -> torch.Tensor:
    return pixel_attention(q, k, v, backend="triton")


def eager_attention() -> torch.Tensor:
    return eager.attention_tokens(q, k, v)


def encoded() -> torch.Tensor:
    return add_positional_encoding_2d(x, backend="triton")


def without_gradients(call: Callable) -> Callable:
    return torch.no_grad()(call)


def with_gradients(call: Callable, leaves: tuple) -> Callable:
    gradient = torch.ones_like(call())
    return lambda: torch.autograd.grad(call(), leaves, gradient)


def calls() -> dict[str, Callable]:
    """Returns what is timed, by operator, direction and who computes it."""
    found: dict[str, Callable] = {}
    for name, leaves, ours, peer in (
        ("pixel_attention_block", (x, weight, bias, gamma), block, eager_block),
        (ONE_KERNEL, (x_half, weight_half, bias_half, gamma), one_kernel, eager_half_block),
        ("pixel_attention", (q, k, v), attention, eager_attention),
        ("add_positional_encoding_2d", (x,), encoded, lambda: x + encoding),
    ):
        for who, call in (("ours", ours), ("eager", peer)):
            found[f"{name}, inference, {who}"] = without_gradients(call)
            found[f"{name}, forward, {who}"] = call
            found[f"{name}, both, {who}"] = with_gradients(call, leaves)
    return found


def main() -> None:
    torch.set_num_threads(1)
    timed = calls()
    for call in timed.values():
        for _ in range(CALLS_A_SAMPLE):
            call()
    for line in sys.stdin:
        call = timed[line.strip()]
        start = time.thread_time()
        for _ in range(CALLS_A_SAMPLE):
            call()
        print((time.thread_time() - start) / CALLS_A_SAMPLE, flush=True)


if __name__ == "__main__":
    main()
