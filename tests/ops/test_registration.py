"""The operators within torch's own machinery: graphs, transforms, autocast, higher derivatives.

On a CPU the registered operators compute by the plain formula; what is tested is that they are
registered as they should be. Their eager calls go to the kernels, which Triton interprets here.
"""

from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from benchmarks import timing
from slt_fast.layers import PixelAttention2d, PositionalEncoding2d
from slt_fast.ops import add_positional_encoding_2d, pixel_attention, pixel_attention_block
from slt_fast.ops.positional_encoding import encoding

OPS = torch.ops.slt_fast


@pytest.fixture(autouse=True)
def small_regimes(set_limits) -> None:
    """Lets the flash kernels begin at 17 keys, as the interpreter is slow."""
    set_limits(MAX_WHOLE_MAP=8, MAX_WHOLE_ROW=16)


# With a GPU the registered operators run the kernels.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def attention_inputs(Nk: int = 5, dtype=torch.float64, bias: bool = True) -> tuple:
    shapes = [(4, 1, 3, 16), (4, 1, Nk, 16), (4, 1, Nk, 32)]
    tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
    return (*tensors, torch.randn(2, 1, 3, Nk, dtype=dtype) if bias else None)


def block_inputs(side: int = 2, dtype=torch.float64, gamma: float = 0.7) -> tuple:
    shapes = [(2, 16, side, side), (48, 16), (48,), (), (16, side, side)]
    tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
    tensors[1] /= 4
    return (*tensors[:3], torch.tensor(gamma, dtype=dtype), tensors[4])


def there(tensors: tuple) -> tuple:
    """float32 tensors on the device of the kernels."""
    return tuple(None if t is None else t.to(DEVICE, torch.float32) for t in tensors)


def with_gradients(tensors: tuple) -> list:
    return [None if t is None else t.detach().clone().requires_grad_() for t in tensors]


def attention(q, k, v, bias=None, backend="triton") -> torch.Tensor:
    return pixel_attention(q, k, v, bias=bias, backend=backend)


def block(x, weight, bias, gamma, encoding, backend="triton") -> torch.Tensor:
    return pixel_attention_block(
        x,
        weight,
        bias,
        gamma,
        key_channels=16,
        positional_encoding=encoding,
        backend=backend,
    )


def masked(q, k, v, backend="triton") -> torch.Tensor:
    mask = torch.ones(3, k.shape[2], dtype=torch.bool, device=q.device).tril(1)
    mask[1] = False
    return pixel_attention(q, k, v, bias=mask, backend=backend)


def encode(x, backend="triton") -> torch.Tensor:
    return add_positional_encoding_2d(x, backend=backend)


# Each with float32 inputs, which the kernels take.
CASES = {
    "attention": (attention, lambda: there(attention_inputs())),
    "attention, flash": (attention, lambda: there(attention_inputs(Nk=20))),
    "attention, no bias": (attention, lambda: there(attention_inputs(bias=False))),
    "attention, mask": (masked, lambda: there(attention_inputs(bias=False))[:3]),
    "block": (block, lambda: there(block_inputs())),
    "block, flash": (block, lambda: there(block_inputs(side=5))),
    "encoding": (encode, lambda: there((torch.randn(2, 16, 3, 5),))),
}
# The remaining cases save as many tensors, and some have a bias.
SLOW_CASES = ("attention", "block, flash")
cases = pytest.mark.parametrize(
    ("function", "inputs"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] if name in SLOW_CASES else [])
        for name, case in CASES.items()
    ],
)


def derivatives(function: Callable, tensors: list, **options) -> list[torch.Tensor]:
    """The result and the gradients of all inputs."""
    leaves = [t for t in tensors if t is not None]
    y = function(*tensors, **options)
    return [y, *torch.autograd.grad(y.square().sum(), leaves)]


def assert_all_close(values: list, expected: list) -> None:
    for value, want in zip(values, expected, strict=True):
        assert value.shape == want.shape
        assert (value - want).norm() <= 1e-5 * want.norm()


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (OPS.pixel_attention, lambda: (*attention_inputs(), 0.25)),
        (OPS.pixel_attention, lambda: (*attention_inputs(bias=False), 0.25)),
        (OPS.pixel_attention, lambda: (*attention_inputs(Nk=20), 0.25)),
        (OPS.pixel_attention, lambda: (*attention_inputs()[:3], torch.eye(3, 5) > 0, 0.25)),
        (OPS.pixel_attention_block, lambda: (*block_inputs(), 16, 1, 0.25)),
        (OPS.pixel_attention_block, lambda: (*block_inputs(side=5), 16, 2, 0.25)),
        (OPS.add_positional_encoding_2d, lambda: (torch.randn(2, 8, 3, 3),)),
    ],
)
def test_opcheck(operator, arguments) -> None:
    arguments = list(arguments())
    for argument in arguments:
        if isinstance(argument, torch.Tensor) and argument.is_floating_point():
            argument.requires_grad_()
    results = torch.library.opcheck(operator.default, arguments)
    assert set(results.values()) == {"SUCCESS"} and len(results) == 4


@pytest.mark.parametrize("Nk", [5, 20])
def test_opcheck_of_backward_operators(Nk: int) -> None:
    q, k, v, bias = attention_inputs(Nk)
    out, row_statistics = OPS.pixel_attention(q, k, v, bias, 0.25)
    arguments = (torch.randn_like(out), q, k, v, bias, out, row_statistics, 0.25, [True] * 4)
    torch.library.opcheck(OPS.pixel_attention_backward.default, arguments)
    tensors = block_inputs(side=2 if Nk == 5 else 5)
    y, *saved = OPS.pixel_attention_block(*tensors, 16, 1, 0.25)
    arguments = (torch.randn_like(y), *tensors, *saved, 16, 1, 0.25, [True] * 5)
    torch.library.opcheck(OPS.pixel_attention_block_backward.default, arguments)


@cases
def test_compiled_whole(function, inputs) -> None:
    tensors = with_gradients(inputs())
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert_all_close(derivatives(compiled, tensors), derivatives(function, tensors))


@pytest.mark.slow
def test_compiled_by_the_inductor() -> None:
    module = PixelAttention2d(16, key_channels=16, gamma_start=0.5, backend="triton").to(DEVICE)
    x = torch.randn(2, 16, 3, 3, device=DEVICE)
    compiled = torch.compile(module, fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "triton"])
def test_exported(backend: str) -> None:
    modules = torch.nn.Sequential(
        PositionalEncoding2d(backend=backend),
        PixelAttention2d(16, key_channels=16, gamma_start=0.5, backend=backend),
    ).to(DEVICE)
    x = torch.randn(2, 16, 3, 3, device=DEVICE)
    program = torch.export.export(modules, (x,))
    names = {str(node.target) for node in program.graph.nodes}
    is_fused = "slt_fast.pixel_attention_block.default" in names
    assert is_fused == (backend == "triton" or DEVICE == "cuda")
    torch.testing.assert_close(program.module()(x), modules(x), rtol=1e-4, atol=1e-5)


def test_an_export_leaves_no_fake_tensor_behind() -> None:
    module, x = PositionalEncoding2d(), torch.zeros(1, 16, 11, 3)  # a size that nobody else has
    torch.export.export(module, (x,))
    assert type(module(x)) is torch.Tensor


@cases
def test_gradients_by_torch_func(function, inputs) -> None:
    tensors = inputs()
    numbers = tuple(i for i, t in enumerate(tensors) if t is not None)
    gradients = torch.func.grad(lambda *t: function(*t).square().sum(), numbers)(*tensors)
    assert_all_close(list(gradients), derivatives(function, with_gradients(tensors))[1:])


@cases
def test_vmap(function, inputs) -> None:
    """Each input mapped in turn, and all at once over another dimension."""
    calls = [inputs() for _ in range(2)]
    known = [i for i, t in enumerate(calls[0]) if t is not None]
    for mapped in ([i] for i in known):
        check_vmap(function, calls, mapped, place=0)
    check_vmap(function, calls, known, place=1)


def check_vmap(function: Callable, calls: list, mapped: list[int], place: int) -> None:
    places = tuple(
        min(place, calls[0][i].ndim) if i in mapped else None for i in range(len(calls[0]))
    )
    stacked = [
        calls[0][i] if dim is None else torch.stack([call[i] for call in calls], dim)
        for i, dim in enumerate(places)
    ]
    result = torch.vmap(function, in_dims=places)(*stacked)
    for number, value in enumerate(result):
        arguments = [calls[number if i in mapped else 0][i] for i in range(len(places))]
        torch.testing.assert_close(value, function(*arguments), rtol=1e-4, atol=1e-4)


@cases
def test_gradients_of_each_sample(function, inputs) -> None:
    """vmap over grad, as for per-sample gradients; the bias and weights are not mapped."""
    tensors = inputs()
    samples = torch.randn(2, *tensors[0].shape, device=DEVICE)
    known = tuple(i for i, t in enumerate(tensors) if t is not None)
    gradient = torch.func.grad(lambda *t: function(*t).square().sum(), known)
    places = (0, *(None for _ in tensors[1:]))
    result = torch.vmap(gradient, in_dims=places)(samples, *tensors[1:])
    for number, sample in enumerate(samples):
        expected = derivatives(function, with_gradients((sample, *tensors[1:])))[1:]
        assert_all_close([value[number] for value in result], expected)


@pytest.mark.parametrize("Nk", [5, 20])
def test_first_and_second_derivatives_of_the_attention(Nk: int) -> None:
    def operator(*tensors) -> torch.Tensor:
        return OPS.pixel_attention(*tensors, 0.25)[0]

    tensors = [t[:1, :1] for t in attention_inputs(Nk, bias=False)[:3]]
    tensors = with_gradients((*tensors, torch.randn(3, Nk, dtype=torch.float64)))
    assert torch.autograd.gradcheck(operator, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(operator, tensors, fast_mode=True)


def test_first_and_second_derivatives_of_the_block() -> None:
    def operator(*tensors) -> torch.Tensor:
        return OPS.pixel_attention_block(*tensors, 16, 2, 0.25)[0]

    tensors = with_gradients(block_inputs())
    assert torch.autograd.gradcheck(operator, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(operator, tensors, fast_mode=True)


@cases
def test_second_derivatives_of_the_kernels_gradients(function, inputs) -> None:
    tensors = with_gradients(inputs())
    leaves = [t for t in tensors if t is not None]

    def second(backend: str) -> list[torch.Tensor]:
        y = function(*tensors, backend=backend)
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        total = sum(g.square().sum() for g in first)
        return list(torch.autograd.grad(total, leaves, materialize_grads=True))

    for value, want in zip(second("triton"), second("reference"), strict=True):
        torch.testing.assert_close(value, want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))


# Without a bias or the flash kernels: forward-mode derivatives never reach the kernels.
forward_mode = pytest.mark.parametrize(
    ("function", "inputs"),
    [pytest.param(*CASES[name], id=name) for name in ("attention, mask", "block", "encoding")],
)
HIGHER = {
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (x.cos(),)),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
    "hessian": lambda f, x: torch.func.hessian(lambda x: f(x).pow(3).sum())(x),
    "jvp of grad": lambda f, x: torch.func.jvp(
        torch.func.grad(lambda x: f(x).pow(3).sum()), (x,), (x.cos(),)
    ),
    "vmap of jvp": lambda f, x: torch.vmap(lambda x: torch.func.jvp(f, (x,), (x,))[1])(
        torch.stack([x, x / 2])
    ),
    "vmap of jacrev": lambda f, x: torch.vmap(torch.func.jacrev(f))(torch.stack([x, x / 2])),
    "linearize": lambda f, x: torch.func.linearize(f, x)[1](x.cos()),
    "vectorized jacobian": lambda f, x: torch.autograd.functional.jacobian(f, x, vectorize=True),
    "forward jacobian": lambda f, x: torch.autograd.functional.jacobian(
        f, x, vectorize=True, strategy="forward-mode"
    ),
    "compiled jvp": lambda f, x: torch.compile(
        lambda x: torch.func.jvp(f, (x,), (x.cos(),)), backend="eager", fullgraph=True
    )(x),
}


@forward_mode
@pytest.mark.parametrize("derivative", HIGHER)
def test_forward_mode_and_batched_derivatives(function, inputs, derivative: str) -> None:
    """Those of plain PyTorch, though the kernels were asked for."""
    x, *others = inputs()
    results = []
    for backend in ("triton", "reference"):

        def of_one(x: torch.Tensor, backend: str = backend) -> torch.Tensor:
            return function(x, *others, backend=backend)

        results.append(HIGHER[derivative](of_one, x))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


@forward_mode
def test_tangents_within_a_dual_level(function, inputs) -> None:
    x, *others = inputs()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, x.cos())
        results = [
            forward_ad.unpack_dual(function(dual, *others, backend=backend)).tangent
            for backend in ("triton", "reference")
        ]
    torch.testing.assert_close(*results)
    assert results[0].any()


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacfwd])
def test_a_transform_leaves_no_wrapper_behind(transform) -> None:
    x = torch.randn(1, 16, 13, 3, device=DEVICE)  # a size that nobody else has
    encoding._cached_encoding.cache_clear()
    transform(lambda x: encode(x, "reference").sum())(x)
    torch.testing.assert_close(encode(x), encode(x, "reference"))


@cases
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(function, inputs, use_reentrant: bool) -> None:
    tensors = with_gradients(inputs())
    leaves = [t for t in tensors if t is not None]
    checkpoint(function, *tensors, use_reentrant=use_reentrant).square().sum().backward()
    expected = derivatives(function, tensors)[1:]
    assert all(torch.equal(leaf.grad, want) for leaf, want in zip(leaves, expected, strict=True))


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_autocast_casts_at_one_place(backend: str) -> None:
    """float16 here, which the interpreter knows; a map keeps its type, an attention takes it."""
    if backend == "reference" and not torch.cuda.is_available():
        dtype = torch.bfloat16
    else:
        dtype = torch.float16
    q, k, v, bias = with_gradients(there(attention_inputs()))
    x, *parameters = with_gradients(there(block_inputs()))
    exact = attention(q, k, v, bias, backend="reference"), block(x, *parameters, "reference")
    with torch.autocast(DEVICE, dtype):
        y = attention(q, k.to(dtype), v, bias, backend=backend)
        z = block(x, *parameters, backend=backend)
    assert y.dtype == dtype and z.dtype == torch.float32
    torch.testing.assert_close(y.float(), exact[0], rtol=0.05, atol=0.05)
    torch.testing.assert_close(z, exact[1], rtol=0.05, atol=0.05)
    gradients = torch.autograd.grad(y.sum() + z.sum(), [q, k, v, bias, x, *parameters])
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("side", [2, 5])
def test_second_derivatives_after_autocast(side: int) -> None:
    """A backward pass runs outside of it, with a map that is wider than the weights."""
    tensors = with_gradients(there(block_inputs(side)))
    with torch.autocast(DEVICE, torch.float16):
        y = block(*tensors)
    (first,) = torch.autograd.grad(y.sum(), tensors[0], create_graph=True)
    second = torch.autograd.grad(first.square().sum(), tensors[:2])
    assert all(gradient.isfinite().all() for gradient in second)


def implementations(name: str, arguments: tuple) -> tuple[list, list]:
    """What the kernels' implementation and the fake one return."""
    operator = getattr(OPS, name).default
    entry = torch._library.custom_ops.OPDEFS[f"slt_fast::{name}"]
    real = entry._init_fn(*arguments)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in arguments]
        fake = operator(*fakes)
    as_list = [[r] if isinstance(r, torch.Tensor) else list(r) for r in (real, fake)]
    return as_list[0], as_list[1]


def assert_like_its_fake(name: str, *arguments) -> list[torch.Tensor]:
    real, fake = implementations(name, arguments)
    for number, (value, like) in enumerate(zip(real, fake, strict=True)):
        found = (value.shape, value.dtype, value.stride() if value.numel() else ())
        assert found == (like.shape, like.dtype, like.stride() if like.numel() else ()), number
    places = [value.untyped_storage().data_ptr() for value in real if value.numel()]
    given = [a for a in arguments if isinstance(a, torch.Tensor) and a.numel()]
    places += [a.untyped_storage().data_ptr() for a in given]
    assert len(set(places)) == len(places)
    assert len({id(value) for value in real}) == len(real)
    return real


@pytest.mark.parametrize("Nk", [5, 20])
@pytest.mark.parametrize("has_bias", [True, False])
def test_kernels_return_what_graphs_expect_of_the_attention(Nk: int, has_bias: bool) -> None:
    """The kernels behind the registered operators, which here no dispatcher would reach."""
    q, k, v, bias = there(attention_inputs(Nk, bias=has_bias))
    tensors = (q, k.mT.contiguous().mT, v, bias)
    out, statistics = assert_like_its_fake("pixel_attention", *tensors, 0.25)
    gradient = torch.randn_like(out)
    backward = (gradient, *tensors, out, statistics, 0.25, [True, True, True, has_bias])
    assert_like_its_fake("pixel_attention_backward", *backward)


@pytest.mark.parametrize("side", [2, 5])
@pytest.mark.parametrize("needed", [(True,) * 5, (True, False, False, True, False)], ids=str)
@pytest.mark.parametrize("channels_last", [True, False])
def test_kernels_return_what_graphs_expect_of_the_block(side, needed, channels_last) -> None:
    x, weight, bias, gamma, encoding = there(block_inputs(side))
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
        encoding = encoding.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    tensors = (x, weight.mT.contiguous().mT, bias, gamma, encoding)
    y, *saved = assert_like_its_fake("pixel_attention_block", *tensors, 16, 2, 0.25)
    arguments = (torch.randn_like(y), *tensors, *saved, 16, 2, 0.25, list(needed))
    assert_like_its_fake("pixel_attention_block_backward", *arguments)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.mT, lambda x: x[:, :, ::2]])
def test_the_kernel_returns_what_graphs_expect_of_the_encoding(view) -> None:
    assert_like_its_fake("add_positional_encoding_2d", view(torch.randn(2, 8, 6, 6, device=DEVICE)))


def test_only_what_needs_a_gradient_gets_one() -> None:
    q, k, v, bias = there(attention_inputs())
    v.requires_grad_()
    attention(q, k, v, bias).sum().backward()
    assert v.grad is not None and q.grad is None and bias.grad is None


def test_inference_mode_saves_nothing() -> None:
    with torch.inference_mode():
        result = block(*there(block_inputs()))
    assert not result.requires_grad


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_cuda_graphs(case: str) -> None:
    function, inputs = CASES[case]
    tensors, runs = inputs(), []

    def plan() -> list[timing.Step]:
        leaves = with_gradients(tensors)
        return [lambda: runs.append(derivatives(function, leaves))]

    replay, _ = timing.captured(plan)
    replay()
    torch.cuda.synchronize()
    expected = derivatives(function, with_gradients(tensors))
    assert all(map(torch.equal, runs[-1], expected))
