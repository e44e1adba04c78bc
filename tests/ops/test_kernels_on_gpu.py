"""The kernels in use: equal in every repeat, in CUDA graphs and in compiled code.

On a GPU at the sizes that are timed; elsewhere interpreted at tiny sizes.
"""

import pytest
import torch

from benchmarks import parity, timing
from benchmarks.cases import OPERATORS, Case, Inputs, make_inputs
from benchmarks.peers import ours, plain
from slt_fast.ops import pixel_attention

ON_GPU = torch.cuda.is_available()
REPEATS = 20 if ON_GPU else 3
SIDES, BIAS_POSITIONS = ((7, 14, 28), (49, 100, 300)) if ON_GPU else ((3,), (9,))
SMALL = {} if ON_GPU else {"C": 32, "key_channels": 16}
TYPE = {"dtype": "bfloat16", "device": "cuda"} if ON_GPU else {"dtype": "float32"}


def case_of(operator: str, B: int, side: int = SIDES[0]) -> Case:
    return Case(operator, B, side, side, **SMALL, **TYPE)


def assert_equal_repeats(function: parity.Function, inputs: Inputs) -> None:
    first = parity.results(function, inputs)
    for _ in range(REPEATS - 1):
        for name, value in parity.results(function, inputs).items():
            assert torch.equal(value, first[name]), name


@pytest.mark.parametrize("operator", OPERATORS[:2])
@pytest.mark.parametrize("side", SIDES)
def test_repeats_are_equal_to_the_bit(operator: str, side: int) -> None:
    case = case_of(operator, 8, side)
    assert_equal_repeats(ours(case, "triton"), make_inputs(case, "channels_last"))


@pytest.mark.parametrize("N", BIAS_POSITIONS)
def test_bias_gradients_are_equal_to_the_bit(N: int) -> None:
    """The gradient of a bias is a sum over all maps."""
    B = 32 if ON_GPU else 3
    case = Case("pixel_attention", B, 1, N, C=32, key_channels=32, **TYPE)
    inputs = make_inputs(case, "channels_last")
    bias = torch.randn(N, N, device=case.device, dtype=case.torch_dtype, requires_grad=True)
    names = ("q", "k", "v", "bias")
    inputs = Inputs((*inputs.leaves, bias), (), inputs.gradient, 3, names)

    def function(q, k, v, bias) -> torch.Tensor:
        return pixel_attention(q, k, v, bias=bias, backend="triton")

    assert_equal_repeats(function, inputs)


@pytest.mark.gpu
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_graph_replays_on_other_inputs(operator: str) -> None:
    case, kept = case_of(operator, 4), {}
    first, second = (make_inputs(case, "channels_last", seed) for seed in (0, 1))
    function = ours(case, "triton")
    replay, _ = timing.captured(lambda: [lambda: kept.update(parity.results(function, first))])
    expected = parity.results(function, second)
    with torch.no_grad():
        for target, source in zip(first.tensors, second.tensors, strict=True):
            target.copy_(source)
    replay()
    torch.cuda.synchronize()
    assert [name for name in expected if not torch.equal(kept[name], expected[name])] == []


@pytest.mark.parametrize("operator", OPERATORS)
def test_compiled_code_has_parity(operator: str) -> None:
    case = case_of(operator, 4)
    inputs = make_inputs(case, "channels_last")
    reference = parity.Reference.build(plain(case), inputs)
    function = ours(case, "triton")

    def traced(*tensors: torch.Tensor) -> torch.Tensor:
        return function(*tensors) * 1.0

    compiler = "inductor" if ON_GPU else "aot_eager"
    compiled = torch.compile(traced, fullgraph=True, backend=compiler)
    parity.check(compiled, inputs, reference, poison=False).require(f"compiled {operator}")


@pytest.mark.parametrize("operator", OPERATORS)
def test_opcheck(operator: str) -> None:
    """Schema, fake tensors, autograd and tracing of the registered operator."""
    case = case_of(operator, 4)
    inputs = make_inputs(case, "channels_last")
    arguments = {
        "pixel_attention": ("pixel_attention", *inputs.leaves, None, 0.25),
        "pixel_attention_block": (
            "pixel_attention_block",
            *(*inputs.leaves, *inputs.constants, case.key_channels, case.num_heads, 0.25),
        ),
        "positional_encoding": ("add_positional_encoding_2d", *inputs.leaves),
    }
    name, *values = arguments[operator]
    results = torch.library.opcheck(getattr(torch.ops.slt_fast, name).default, tuple(values))
    assert set(results.values()) == {"SUCCESS"}
