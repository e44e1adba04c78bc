"""Rounding of long float32 sums, as on a GPU.

The interpreter leaves a matrix product to NumPy, which adds in a tree. A GPU computes each element
of a block's product as one chain of fused multiply-additions; so does the interpreter here.
"""

import numpy as np
import pytest
import torch

from benchmarks.parity import relative_error
from slt_fast.ops import kernel_table, pixel_attention
from slt_fast.ops.launching import strided

interpreter = pytest.importorskip("triton.runtime.interpreter", reason="needs triton")
projection = pytest.importorskip("slt_fast.ops.pixel_attention_block.projection_kernel")


def add_in_a_chain(total: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Computes total + left right, rounded to float32 after each multiply-addition."""
    for k in range(left.shape[1]):
        products = left[:, k, None].astype(np.float64) * right[None, k]
        total = (total + products).astype(np.float32)
    return total


@pytest.fixture
def chained_products(monkeypatch, kernel_device: str) -> None:
    if kernel_device != "cpu":
        pytest.skip("a GPU needs no imitation")

    def dot(builder, left, right, total, *precision):
        data = add_in_a_chain(total.data, left.data, right.data)
        return interpreter.TensorHandle(data, total.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot)


@pytest.mark.usefixtures("chained_products")
def test_attention_over_thousands_of_keys() -> None:
    """Within twice the error of plain PyTorch, the bound of all kernels."""
    q, k, v = torch.randn(1, 1, 32, 64), torch.randn(1, 1, 3136, 64), torch.randn(1, 1, 3136, 32)
    exact = pixel_attention(q.double(), k.double(), v.double(), backend="reference")
    plain = pixel_attention(q, k, v, backend="reference")
    result = pixel_attention(q, k, v, backend="triton")
    assert relative_error(result, exact) <= 2 * relative_error(plain, exact)


@pytest.mark.usefixtures("chained_products")
def test_projection_of_hundreds_of_channels() -> None:
    """With at most half the error of one chain over all channels."""
    x, weight, out = torch.randn(1, 49, 512), torch.randn(16, 512), torch.empty(1, 49, 16)
    blocks = kernel_table.find("projection", 90, 4).blocks
    projection.projection_kernel[(1,)](
        strided(x), strided(weight), None, strided(out), 49, 49, 16,
        CHANNELS=512, PRECISION="ieee", **blocks,
    )  # fmt: skip
    chain = add_in_a_chain(np.zeros(1, np.float32), x[0].numpy(), weight.T.numpy())
    exact = x.double() @ weight.double().T
    assert relative_error(out, exact) <= 0.5 * relative_error(torch.from_numpy(chain)[None], exact)
