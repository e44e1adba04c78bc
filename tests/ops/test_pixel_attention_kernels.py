"""The Triton kernels of pixel_attention against the plain formula, by numbers."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.cases import CHANNELS, KEY_CHANNELS, SIDES
from slt_fast.ops import pixel_attention
from slt_fast.ops.launching import Plan
from slt_fast.ops.pixel_attention import backward_parts, plan
from slt_fast.ops.pixel_attention.attention import Attention

SLOW = pytest.mark.slow  # for the interpreter
GPU = pytest.mark.gpu
# B, heads, Nq, Nk, dk, dv: the three regimes and their edges, odd sizes, narrow and wide channels;
# on a GPU the sizes that are timed.
SIZES = [
    (2, 1, 1, 1, 16, 16),
    (2, 2, 35, 35, 48, 80),
    (2, 1, 49, 49, 64, 512),
    (3, 2, 7, 49, 32, 32),
    (1, 1, 64, 64, 128, 64),
    (1, 2, 81, 81, 16, 48),
    (1, 1, 70, 196, 64, 128),
    pytest.param((1, 1, 256, 256, 16, 16), marks=SLOW),
    (2, 1, 100, 20, 32, 16),
    (1, 1, 10, 257, 16, 32),
    pytest.param((1, 1, 70, 270, 48, 272), marks=SLOW),
    pytest.param((2, 2, 385, 260, 16, 32), marks=SLOW),
    *(
        pytest.param((1, 1, side**2, side**2, KEY_CHANNELS, CHANNELS), marks=GPU)
        for side in SIDES[1:]
    ),
    pytest.param((2, 12, 197, 197, 64, 64), marks=GPU),  # a ViT's
    pytest.param((1, 1, 140, 323, 48, 272), marks=GPU),
]
# The same, and the shape of the bias.
BIASES = [
    ((2, 2, 49, 49, 32, 32), (2, 49, 49)),  # Swin's relative positions
    ((4, 2, 49, 49, 16, 32), (2, 2, 49, 49)),  # repeated: windows of each image
    ((3, 1, 20, 30, 16, 16), (3, 1, 20, 30)),
    ((2, 2, 5, 7, 16, 16), ()),
    ((2, 2, 5, 7, 16, 16), (7,)),
    ((2, 2, 5, 7, 16, 16), (2, 2, 1, 7)),
    ((2, 2, 5, 7, 16, 16), (2, 5, 1)),
    ((2, 1, 70, 100, 16, 16), (70, 100)),
    ((2, 1, 40, 260, 16, 16), (1, 40, 260)),
    pytest.param(((2, 2, 260, 300, 32, 32), (2, 260, 300)), marks=GPU),
]


def inputs(B, heads, Nq, Nk, dk, dv, bias=None) -> list[torch.Tensor]:
    shapes = [(B, heads, Nq, dk), (B, heads, Nk, dk), (B, heads, Nk, dv)]
    return [torch.randn(shape) for shape in (*shapes, *([bias] if bias is not None else []))]


def attention(q, k, v, bias=None, *, backend: str, scale: float | None = None) -> torch.Tensor:
    return pixel_attention(q, k, v, bias=bias, scale=scale, backend=backend)


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_outputs_and_gradients(check_parity, kernel_dtype, shape) -> None:
    check_parity(attention, inputs(*shape), kernel_dtype)


@pytest.mark.parametrize("shape_and_bias", BIASES, ids=str)
def test_bias_and_its_gradient(check_parity, kernel_dtype, shape_and_bias) -> None:
    shape, bias = shape_and_bias
    # What all keys share does not change the softmax: the exact gradient is 0, and the error has no
    # scale of its own. It is measured together with dq.
    is_shared = not bias or bias[-1] == 1
    joined = (0, 3) if is_shared else ()
    check_parity(attention, inputs(*shape, bias=bias), kernel_dtype, joined=joined)


def test_bias_gradient_sums_over_groups_of_maps(check_parity, kernel_dtype, set_limits) -> None:
    set_limits(FULL_CHIP=4)
    check_parity(attention, inputs(7, 2, 5, 7, 16, 16, bias=(2, 5, 7)), kernel_dtype)


# B, heads, entries of the bias that the maps share, maps and heads that fit into a workspace.
PARTS = [(5, 2, 1, 4), (6, 2, 2, 4), (4, 3, 4, 6), (6, 2, 3, 2), (2, 3, 1, 2)]


@pytest.mark.parametrize("Nk", [20, 40])
@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_parts_of_the_maps(check_parity, kernel_dtype, set_limits, parts, Nk) -> None:
    """The workspace holds some maps at a time, or some heads of one; both kinds of workspace."""
    B, heads, shared, fitting = parts
    step = torch.finfo(kernel_dtype).bits // 8
    is_flash = Nk == 40 and kernel_dtype != torch.float32
    each = step * (Nk * 64 if is_flash else 2 * 18 * 64)
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=32, MAX_WORKSPACE=fitting * each)
    bias = (shared, heads, 18, Nk) if shared > 1 else (18, Nk)
    check_parity(attention, inputs(B, heads, 18, Nk, 16, 16, bias=bias), kernel_dtype)


@given(
    shared=st.integers(1, 12),
    heads=st.integers(1, 5),
    repeats=st.integers(1, 3),
    fitting=st.integers(0, 40),
)
def test_parts_cover_each_map_once(shared: int, heads: int, repeats: int, fitting: int) -> None:
    q = torch.empty(shared * repeats, heads, 9, 16, device="meta")
    bias = torch.empty(shared, 1, 9, 9, device="meta")
    call = Attention(Plan(q.device, {}), q, q, q, bias, 1.0)
    seen = torch.zeros(shared * repeats, heads, dtype=torch.int64)
    for part in backward_parts.parts(call, 1000, 1000 * fitting):
        seen[part.maps, part.heads] += 1
        assert part.num_maps * part.num_heads <= max(1, fitting)
        maps = list(range(shared * repeats))[part.maps]
        entries = list(range(shared))[part.shared]
        assert [b % shared for b in maps] == entries * (len(maps) // len(entries))
        assert part.num_heads == heads or part.num_maps == 1
    assert seen.eq(1).all()


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_scale(check_parity, kernel_dtype, scale) -> None:
    def scaled(*tensors, backend: str) -> torch.Tensor:
        return attention(*tensors, backend=backend, scale=scale)

    q, k, v = inputs(2, 1, 20, 20, 16, 32)
    check_parity(scaled, [q * 0.3, k, v], kernel_dtype)


# The three regimes: whole maps, whole rows, and parts of rows.
@pytest.mark.parametrize(
    ("N", "dtype"),
    [(10, torch.float32), (30, torch.float16), (40, torch.float32), (40, torch.float16)],
    ids=str,
)
@pytest.mark.parametrize("stretch", ["expanded", "sliced", "transposed", "unaligned"])
def test_strides_of_inputs_and_gradients(check_parity, set_limits, N, dtype, stretch) -> None:
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=32)

    def view(tensor: torch.Tensor) -> torch.Tensor:
        if stretch == "transposed":  # channels first, as in a contiguous map
            return tensor.mT.contiguous().mT
        if stretch == "unaligned":  # to the 16 bytes that a descriptor needs
            return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view_as(tensor)
        if stretch == "sliced":
            return tensor.repeat(1, 1, 2, 2)[:, :, ::2, ::2]
        return tensor[:1].expand_as(tensor)

    def gradient_like(y: torch.Tensor) -> torch.Tensor:
        gradient = view(torch.randn_like(y))
        return gradient[:, :, :, :1].expand_as(y) if stretch == "expanded" else gradient

    tensors = inputs(2, 1, N, N, 16, 32)
    check_parity(attention, tensors, dtype, gradient_like, view)


def test_offsets_beyond_32_bits(kernel_device: str) -> None:
    """A batch stride and a position stride of more than 2**31 values in all; untouched pages."""
    memory = torch.from_numpy(np.zeros(2**31 + 2**21, np.float16)).to(kernel_device)
    far = torch.as_strided(memory, (2, 1, 33, 16), (2**31, 16, 2**15, 1))
    wide = torch.as_strided(memory, (1, 1, 33, 16), (1, 1, 2**26, 1))
    for view in (far, wide):
        values = torch.randn(view.shape).half().to(kernel_device)
        view.copy_(values)
        result = pixel_attention(view, view, view, backend="triton")
        expected = pixel_attention(*[values.double()] * 3, backend="reference")
        torch.testing.assert_close(result.double(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("Nq", "Nk"), [(20, 20), (20, 90), (20, 270)])
def test_a_bad_map_stays_alone(kernel_device: str, kernel_dtype, Nq: int, Nk: int) -> None:
    q, k, v = (t.to(kernel_device, kernel_dtype) for t in inputs(3, 1, Nq, Nk, 16, 16))
    gradient = torch.randn(3, 1, Nq, 16, device=kernel_device, dtype=kernel_dtype)

    def results() -> tuple[torch.Tensor, ...]:
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        y = pixel_attention(*leaves, backend="triton")
        return (y.detach(), *torch.autograd.grad(y, leaves, gradient))

    expected = results()
    for tensor in (q, k, v, gradient):
        tensor[1, 0, 0, 0] = torch.nan
    for value, want in zip(results(), expected, strict=True):
        assert torch.equal(value[[0, 2]], want[[0, 2]])
        assert value[1].isnan().any()


@pytest.mark.parametrize("Nk", [40, 100, 300])
def test_minus_infinity_hides_keys(check_parity, kernel_dtype, Nk: int) -> None:
    """Also whole blocks of keys at the beginning, while a running maximum has nothing yet."""

    def hidden(q, k, v, *, backend: str) -> torch.Tensor:
        bias = torch.zeros(Nk, device=q.device)
        bias[: Nk // 2] = -torch.inf
        return pixel_attention(q, k, v, bias=bias, backend=backend)

    check_parity(hidden, inputs(1, 1, 20, Nk, 16, 16), kernel_dtype)


@pytest.mark.parametrize("Nk", [12, 40, 100])
def test_a_mask_is_that_of_the_formula(kernel_device: str, set_limits, Nk: int) -> None:
    """In each regime; a query sees no key, and a whole block of keys is hidden."""
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=64)
    tensors = [t.to(kernel_device) for t in inputs(2, 2, 10, Nk, 16, 16)]
    mask = torch.rand(2, 1, 10, Nk, device=kernel_device) > 0.5
    mask[..., : Nk // 3] = False
    mask[:, :, 4] = False
    results, gradient = [], torch.randn(2, 2, 10, 16, device=kernel_device)
    for backend in ("triton", "reference"):
        leaves = [t.clone().requires_grad_() for t in tensors]
        y = attention(*leaves, mask, backend=backend)
        results.append((y, *torch.autograd.grad(y, leaves, gradient)))
    for value, want in zip(*results, strict=True):
        torch.testing.assert_close(value, want, rtol=1e-4, atol=1e-5)
    assert not results[0][0][:, :, 4].any() and not results[0][1][:, :, 4].any()


def test_a_row_that_sees_nothing_is_nan_as_in_the_formula(kernel_device: str) -> None:
    q, k, v = (t.to(kernel_device) for t in inputs(1, 1, 3, 300, 16, 16))
    bias = torch.zeros(3, 300, device=kernel_device)
    bias[1] = -torch.inf
    for backend in ("reference", "triton"):
        result = pixel_attention(q, k, v, bias=bias, backend=backend)
        assert result[0, 0, 1].isnan().all() and result[0, 0, [0, 2]].isfinite().all()


def test_large_scores_do_not_overflow(kernel_device: str) -> None:
    """Scores of hundreds, of which a float32 keeps the last digits to one part in 10 million."""
    q, k, v = (t.to(kernel_device) for t in inputs(1, 1, 20, 300, 16, 16))
    results = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [t.to(dtype).requires_grad_() for t in (60 * q, k, v)]
        y = pixel_attention(*leaves, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    largest = float((60 * q @ k.mT / 4).abs().max())
    assert largest > 128  # e^128 is no float32
    for value, want in zip(*results, strict=True):
        error = (value.double() - want).norm() / want.norm()
        assert error <= largest * torch.finfo(torch.float32).eps


def test_four_thousand_keys(kernel_device: str) -> None:
    q, k, v = (t.to(kernel_device).half() for t in inputs(1, 1, 200, 4096, 16, 16))
    result = pixel_attention(q, k, v, backend="triton")
    expected = pixel_attention(q.float(), k.float(), v.float(), backend="reference")
    torch.testing.assert_close(result.float(), expected, rtol=5e-3, atol=1e-3)


def test_runs_are_equal_to_the_bit(kernel_device: str, kernel_dtype, set_limits) -> None:
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=32)  # the interpreter is slow
    for Nk in (15, 30, 70):
        tensors = inputs(2, 1, 15, Nk, 16, 16, bias=(15, Nk))
        leaves = [t.to(kernel_device, kernel_dtype).requires_grad_() for t in tensors]
        runs = []
        for _ in range(2):
            y = attention(*leaves, backend="triton")
            runs.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
        assert all(map(torch.equal, *runs))


def test_the_batch_may_be_larger_than_a_grid_axis() -> None:
    q = torch.empty(70_000, 1, 1, 16, device="meta")
    forward = plan.forward_plan.plan(q.device, q, q, q, None, 1.0)
    backward = plan.backward_plan.plan(q.device, q, q, q, q, None, None, None, 1.0, False)
    programs = [launch.num_programs for launch in (*forward.launches, *backward.launches)]
    assert programs == [70_000, 70_000]  # of one axis, which ends at 2**31 - 1


@pytest.mark.gpu
def test_a_batch_of_seventy_thousand() -> None:
    leaves = [torch.randn(70_000, 1, 4, 16, device="cuda", requires_grad=True) for _ in range(3)]
    results = []
    for backend in ("triton", "reference"):
        y = pixel_attention(*leaves, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for value, want in zip(*results, strict=True):
        torch.testing.assert_close(value, want, rtol=1e-4, atol=1e-5)


multiples = st.integers(1, 4).map(lambda n: 16 * n)


@settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
@given(
    B=st.integers(1, 3),
    heads=st.integers(1, 2),
    Nq=st.integers(1, 70),
    Nk=st.integers(1, 70),
    dk=multiples,
    dv=multiples,
    scale=st.floats(0.05, 1.0),
)
def test_any_shape(B, heads, Nq, Nk, dk, dv, scale) -> None:
    torch.manual_seed(0)
    tensors = [
        t.to("cuda" if torch.cuda.is_available() else "cpu")
        for t in inputs(B, heads, Nq, Nk, dk, dv)
    ]
    results = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [t.to(dtype).requires_grad_() for t in tensors]
        y = pixel_attention(*leaves, scale=scale, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for value, want in zip(*results, strict=True):
        assert (value.double() - want).norm() <= 1e-5 * want.norm() + 1e-6


@settings(max_examples=8)
@given(N=st.sampled_from([9, 49, 80]), seed=st.integers(0, 2**16))
def test_the_order_of_positions_means_nothing(N: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = (torch.randn(1, 1, N, 16, generator=generator).to(device) for _ in range(3))
    order = torch.randperm(N, generator=generator).to(device)
    expected = pixel_attention(q, k, v, backend="triton")
    shuffled = pixel_attention(q[:, :, order], k[:, :, order], v[:, :, order], backend="triton")
    torch.testing.assert_close(shuffled, expected[:, :, order])


def test_saved_tensors_that_return_in_another_layout(set_limits, kernel_device) -> None:
    """As torch.autograd.graph.save_on_cpu returns them; kept plans are of other layouts."""
    set_limits(MAX_WHOLE_MAP=16, MAX_WHOLE_ROW=32)
    like = {"dtype": torch.float16, "device": kernel_device}
    q, k, v = (torch.randn(1, 2, 34, 16, **like) for _ in range(3))
    bias = torch.randn(1, 2, 34, 1, **like).expand(-1, -1, -1, 34)

    def gradients() -> list[torch.Tensor]:
        leaves = [t.detach().clone().requires_grad_() for t in (q, k, v)]
        y = pixel_attention(*leaves, bias=bias, backend="triton")
        return list(torch.autograd.grad(y, leaves, q))

    def dense(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.clone(memory_format=torch.contiguous_format)

    for hooks_come_first in (False, True):
        set_limits()
        if hooks_come_first:
            with torch.autograd.graph.saved_tensors_hooks(dense, lambda t: t):
                first = gradients()
            second = gradients()
        else:
            first = gradients()
            with torch.autograd.graph.saved_tensors_hooks(dense, lambda t: t):
                second = gradients()
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


def test_a_backward_pass_in_another_state_leaves_no_plan(kernel_device, monkeypatch) -> None:
    """Of float32 products, which torch.set_float32_matmul_precision changes."""
    leaves = [torch.randn(1, 1, 9, 16, device=kernel_device, requires_grad=True) for _ in range(3)]
    precisions, run = [], Plan.run

    def record(self: Plan, *arguments):
        precisions.extend(launch.constants["PRECISION"] for launch in self.launches)
        return run(self, *arguments)

    monkeypatch.setattr(Plan, "run", record)
    before = torch.get_float32_matmul_precision()
    try:
        for of_backward, expected in (("high", "tf32"), ("highest", "ieee")):
            torch.set_float32_matmul_precision("highest")
            y = pixel_attention(*leaves, backend="triton")
            torch.set_float32_matmul_precision(of_backward)
            torch.autograd.grad(y.sum(), leaves)
            assert precisions[-1] == expected
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="of the interpreter")
def test_the_interpreter_is_not_given_bfloat16() -> None:
    """It would multiply the bits as whole numbers."""
    q = torch.randn(1, 1, 9, 16, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"found torch\.bfloat16, which Triton's interpreter"):
        pixel_attention(q, q, q, backend="triton")
    assert pixel_attention(q, q, q).dtype == torch.bfloat16


@pytest.mark.parametrize("num_bytes", [1e6, True, "1", None, float("nan")])
def test_a_workspace_limit_is_a_whole_number(num_bytes: object) -> None:
    with pytest.raises(TypeError, match="set_workspace_limit: found .* expected a whole number"):
        plan.set_workspace_limit(num_bytes)
    assert plan.workspace_limit() == 256 * 2**20
