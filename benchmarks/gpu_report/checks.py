"""What must hold beside parity; each check returns {"passed": ..., "detail": ...}."""

from __future__ import annotations

import torch

from benchmarks import parity, timing
from benchmarks.cases import Case, Inputs, make_inputs
from benchmarks.gpu_report.correctness import AttentionShape, check_attention
from benchmarks.peers import ours, plain
from slt_fast.ops import pixel_attention


def determinism(case: Case, repeats: int) -> dict:
    """Output and gradients are the same to the bit, time after time."""
    return _equal_repeats(ours(case, "triton"), make_inputs(case, "channels_last"), repeats)


def bias_determinism(B: int, N: int, dtype: str, device: str, repeats: int) -> dict:
    """The same with a bias, whose gradient is a sum over all maps."""
    case = Case("pixel_attention", B, 1, N, C=32, key_channels=32, dtype=dtype, device=device)
    inputs = make_inputs(case, "channels_last")
    q, k, v = inputs.leaves
    bias = torch.randn(N, N, device=device, dtype=case.torch_dtype, requires_grad=True)
    inputs = Inputs((q, k, v, bias), (), inputs.gradient, 3, ("q", "k", "v", "bias"))

    def function(q, k, v, bias) -> torch.Tensor:
        return pixel_attention(q, k, v, bias=bias, backend="triton")

    return _equal_repeats(function, inputs, repeats)


def _equal_repeats(function: parity.Function, inputs: Inputs, repeats: int) -> dict:
    first = parity.results(function, inputs)
    differing = {
        name
        for _ in range(repeats - 1)
        for name, value in parity.results(function, inputs).items()
        if not torch.equal(value, first[name])
    }
    return {
        "passed": not differing,
        "detail": f"{repeats} runs; differing: {', '.join(sorted(differing)) or 'none'}",
    }


def graph_replay(case: Case) -> dict:
    """Forward and backward, captured once and replayed on other inputs, equal an eager call."""
    first, second = (make_inputs(case, "channels_last", seed) for seed in (0, 1))
    function, kept = ours(case, "triton"), {}
    replay, _ = timing.captured(lambda: [lambda: kept.update(parity.results(function, first))])
    expected = parity.results(function, second)
    with torch.no_grad():
        for target, source in zip(_tensors(first), _tensors(second), strict=True):
            target.copy_(source)
    replay()
    torch.cuda.synchronize()
    differing = [name for name, value in kept.items() if not torch.equal(value, expected[name])]
    return {"passed": not differing, "detail": f"differing: {', '.join(differing) or 'none'}"}


def _tensors(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    return (*inputs.leaves, *inputs.constants, inputs.gradient)


def compiled(case: Case, compiler: str) -> dict:
    """torch.compile(fullgraph=True) of our operator has the parity that the operator has."""
    inputs = make_inputs(case, "channels_last")
    reference = parity.Reference.build(plain(case), inputs)
    function = ours(case, "triton")

    def traced(*tensors: torch.Tensor) -> torch.Tensor:
        return function(*tensors) * 1.0

    operator = torch.compile(traced, fullgraph=True, backend=compiler)
    found = parity.check(operator, inputs, reference, poison=False)
    return {"passed": found.passed, "detail": f"worst error / bound {found.worst:.2f}"}


def operator_check(case: Case) -> dict:
    """torch.library.opcheck of the registered operator: schema, fake tensors, autograd, tracing."""
    inputs = make_inputs(case, "channels_last")
    if case.operator == "pixel_attention":
        operator = torch.ops.slt_fast.pixel_attention
        arguments = (*inputs.leaves, None, 0.25)
    elif case.operator == "pixel_attention_block":
        operator = torch.ops.slt_fast.pixel_attention_block
        arguments = (*inputs.leaves, *inputs.constants, case.key_channels, case.num_heads, 0.25)
    else:
        operator, arguments = torch.ops.slt_fast.add_positional_encoding_2d, inputs.leaves
    found = torch.library.opcheck(operator.default, arguments, raise_exception=False)
    return {
        "passed": all(value == "SUCCESS" for value in found.values()),
        "detail": "; ".join(f"{name}: {value}" for name, value in found.items())[:600],
    }


def large_batch(B: int, dtype: str, device: str) -> dict:
    """More maps than the 65,535 programs of a grid's second axis."""
    found = check_attention(AttentionShape((B, 1, 4, 4, 16, 16)), dtype, device)
    return {"passed": found["passed"], "detail": f"worst error / bound {found['worst']:.2f}"}


def zero_gamma(case: Case) -> dict:
    """With gamma = 0, where training starts: y = h to the bit, and all gradients are finite."""
    inputs = make_inputs(case, "channels_last")
    with torch.no_grad():
        inputs.leaves[-1].zero_()
    found = parity.results(ours(case, "triton"), inputs)
    h = (inputs.leaves[0] + inputs.constants[0]).detach()
    is_equal = torch.equal(found["output"], h)
    reference = parity.Reference.build(plain(case), inputs)
    error = parity.check(ours(case, "triton"), inputs, reference).errors["gamma"]
    bad = [name for name, value in found.items() if not value.isfinite().all()]
    return {
        "passed": is_equal and not bad and error <= reference.bounds["gamma"],
        "detail": f"equal {is_equal}; not finite: {', '.join(bad) or 'none'}; "
        f"error of gamma's gradient {error:.1e}",
    }
