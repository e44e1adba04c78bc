"""Plans are kept for equal calls, and made again when anything changes that a kernel depends on."""

import dataclasses

import pytest
import torch

from slt_fast.ops import kernel_table, launching, pixel_attention, pixel_attention_block
from slt_fast.ops.pixel_attention.plan import backward_plan, forward_plan

CPU = torch.device("cpu")


def tokens(*, N: int = 9, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, N, 1, 16).to(dtype).transpose(1, 2)


def planned(q: torch.Tensor, bias: torch.Tensor | None = None, scale: float = 1.0):
    return forward_plan.plan(CPU, q, q, q, bias, scale)


def channel_major(q: torch.Tensor) -> torch.Tensor:
    """The same values in another order in memory."""
    return q.mT.contiguous().mT


def test_calls_of_one_layout_share_a_plan() -> None:
    assert planned(tokens()) is planned(tokens())
    unaligned = torch.randn(2 * 9 * 16 + 1)[1:].view(2, 9, 1, 16).transpose(1, 2)
    assert planned(unaligned) is planned(tokens())  # Triton looks at addresses in each launch


CHANGES = {
    "shape": lambda: planned(tokens(N=10)),
    "strides": lambda: planned(channel_major(tokens())),
    "type": lambda: planned(tokens(dtype=torch.float16)),
    "bias": lambda: planned(tokens(), torch.zeros(9, 9)),
    "scale": lambda: planned(tokens(), scale=0.5),
    "device": lambda: forward_plan.plan(torch.device("meta"), *[tokens()] * 3, None, 1.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_calls_have_other_plans(change) -> None:
    assert change() is not planned(tokens())
    assert change() is change()


def test_gradients_that_are_needed_have_other_plans() -> None:
    q, bias = tokens(), torch.zeros(9, 9)
    without, with_dbias = (
        backward_plan.plan(CPU, q, q, q, q, bias, None, None, 1.0, needs) for needs in (False, True)
    )
    names = [launch.row.kernel for launch in with_dbias.launches]
    assert names == [*(launch.row.kernel for launch in without.launches), "dbias"]
    assert with_dbias.memory.keys() - without.memory.keys() == {
        "partial",
        "delta",
        "row_statistics",
    }


def test_another_table_or_precision_makes_another_plan(monkeypatch) -> None:
    before = planned(tokens())
    (row,) = {id(launch.row): launch.row for launch in before.launches}.values()
    other = dataclasses.replace(row, num_warps=2 * row.num_warps)
    with monkeypatch.context() as patch:
        patch.setattr(kernel_table, "find", lambda *_: other)
        assert planned(tokens()).launches[0].row is other
        patch.setattr(kernel_table, "architecture_of", lambda device: 80)
        assert planned(tokens()) is not before
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    assert planned(tokens()).launches[0].constants["PRECISION"] == "tf32"
    torch.set_float32_matmul_precision(precision)
    assert planned(tokens()) is before
    assert before.launches[0].constants["PRECISION"] == "ieee"


def test_a_plan_that_was_made_for_other_strides_is_not_run(kernel_device) -> None:
    """One shape, all layouts in turns, twice, with gradients."""
    q = tokens().to(kernel_device)
    wide = torch.randn(2, 9, 1, 32, device=kernel_device).transpose(1, 2)
    views = (
        q,
        channel_major(q),
        wide[..., :16],
        wide[..., 16:],
        wide[..., ::2],
        q[:1].expand_as(q),
    )
    for view in views * 2:
        results = []
        for backend in ("triton", "reference"):
            leaves = [view.clone(memory_format=torch.preserve_format) for _ in range(2)]
            leaves = [leaf.requires_grad_() for leaf in (view.detach(), *leaves)]
            y = pixel_attention(*leaves, backend=backend)
            results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
        for value, want in zip(*results, strict=True):
            torch.testing.assert_close(value, want, rtol=1e-4, atol=1e-5)


def test_calls_of_one_plan_share_no_memory(kernel_device) -> None:
    weight, gamma = torch.randn(48, 16, device=kernel_device), torch.ones((), device=kernel_device)
    maps = torch.randn(2, 2, 16, 3, 3, device=kernel_device)
    run = {"key_channels": 16, "backend": "triton"}
    first, second = (pixel_attention_block(x, weight, None, gamma, **run) for x in maps)
    run["backend"] = "reference"
    for found, x in ((first, maps[0]), (second, maps[1])):
        expected = pixel_attention_block(x, weight, None, gamma, **run)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_old_plans_are_dropped() -> None:
    first = planned(tokens())
    for N in range(10, 10 + launching.MAX_PLANS):
        planned(tokens(N=N))
    assert planned(tokens()) is not first


def test_views_become_offsets_and_strides() -> None:
    """Of packed rows, as the block has them; nothing else of a view reaches a kernel."""

    @launching.Planner
    def write(plan: launching.Plan, packed: torch.Tensor) -> None:
        row = kernel_table.rows()[0]
        left, right = packed.split([16, 32], dim=1)
        plan.launch(None, row, 1, left=launching.strided(left), right=launching.strided(right.mT))

    packed = torch.arange(3 * 48).view(3, 48)
    (launch,) = write.plan(CPU, packed).launches
    left, right = launch.operands["left"], launch.operands["right"]
    assert (left.tensor, left.offset, left.strides) == ("packed", 0, (48, 1))
    assert (right.tensor, right.offset, right.strides) == ("packed", 16, (1, 48))
    pointer, *strides = right.of({"packed": packed})
    assert pointer.data_ptr() == packed[:, 16:].data_ptr() and strides == [1, 48]
    part = packed[1:]  # a tensor that begins within its own memory
    pointer, *_ = right.of({"packed": part})
    assert pointer.data_ptr() == part[:, 16:].data_ptr()


def all_heads(tensor: torch.Tensor) -> torch.Tensor:
    """[B, N, heads * 16] -> [B, heads, N, 16], a view."""
    return tensor.unflatten(2, (-1, 16)).transpose(1, 2)


@pytest.mark.parametrize(("B", "heads", "calls"), [(3, 1, 1), (1, 3, 1), (3, 2, 2), (2, 3, 2)])
def test_products_are_those_of_torch(kernel_device, B, heads, calls) -> None:
    """Of packed rows, into a part of a padded workspace and from there into packed rows."""

    @launching.Planner
    def write(plan: launching.Plan, packed: torch.Tensor) -> None:
        left, right = (all_heads(part) for part in packed.chunk(2, dim=2))
        workspace = plan.allocate("workspace", packed.new_empty(B, heads, 9, 64))
        out = plan.allocate("out", packed.new_zeros(B, 9, 16 + 16 * heads))
        plan.multiply(left, right.mT, workspace[..., :9])
        plan.multiply(workspace[..., :9].mT, left, all_heads(out[..., 16:]))

    memory = torch.randn(B + 1, 9, 32 * heads, device=kernel_device)
    packed = memory[1:]  # begins within its own memory
    assert len(write.plan(packed.device, packed).steps) == 2 * calls
    results = launching.NO_PLANS.run(write, packed.device, packed)
    left, right = (all_heads(part) for part in packed.chunk(2, dim=2))
    scores = left @ right.mT
    torch.testing.assert_close(results["workspace"][..., :9], scores)
    torch.testing.assert_close(all_heads(results["out"][..., 16:]), scores.mT @ left)
