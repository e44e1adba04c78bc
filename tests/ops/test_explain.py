import pytest
import torch

from slt_fast.ops import (
    add_positional_encoding_2d,
    backend,
    explain,
    optical_flow,
    pixel_attention,
    pixel_attention_block,
    set_workspace_limit,
)
from slt_fast.ops.launching import Call, Launch


@pytest.fixture(autouse=True)
def any_machine(monkeypatch) -> None:
    """One that could run the kernels; nothing is run."""
    monkeypatch.setattr(backend, "_machine_refusal", lambda device: None)


def tokens(N: int = 49, channels: int = 32) -> torch.Tensor:
    return torch.zeros(2, 1, N, channels, dtype=torch.float16)


def block(x: torch.Tensor, **options) -> str:
    C = x.shape[1]
    weight, gamma = torch.empty(32 + C, C), torch.zeros(())
    return explain(pixel_attention_block, x, weight, None, gamma, key_channels=16, **options)


def test_a_cpu_takes_the_formula(monkeypatch) -> None:
    monkeypatch.setattr(backend, "_machine_refusal", lambda device: "no GPU here")
    q = tokens()
    assert explain(pixel_attention, q, q, q) == "pixel_attention: reference (no GPU here)"
    assert block(torch.empty(1, 64, 7, 7)) == "pixel_attention_block: reference (no GPU here)"


@pytest.mark.parametrize(
    ("N", "forward", "backward"),
    [
        (49, "whole_row_forward", ["whole_map_backward", "dbias"]),
        (196, "whole_row_forward", ["weights_backward", "transposed_product"]),
        (784, "flash_forward", ["delta", "key_block_backward_narrow", "transposed_product"]),
    ],
)
def test_names_the_kernels_that_run(monkeypatch, N, forward, backward) -> None:
    """Compared with the launches themselves."""
    q = tokens(N)
    bias = torch.empty(N, N, requires_grad=True)
    lines = explain(pixel_attention, q, q, q, bias=bias, backend="triton").splitlines()
    assert lines[0] == "pixel_attention: triton (asked for)"
    steps = [line for line in lines if line.startswith(("forward: ", "backward: "))]
    named = [line.split()[1] for line in steps if " by torch " not in line]
    assert named == [forward, *backward]
    launched = []
    monkeypatch.setattr(Launch, "start", lambda launch, _: launched.append(launch.row.kernel))
    leaf = tokens(N).requires_grad_()
    y = pixel_attention(leaf, q, q, bias=bias, backend="triton")
    torch.autograd.grad(y, (leaf, bias), torch.zeros_like(y))
    assert launched == named


def test_long_rows_of_float32_go_block_by_block() -> None:
    q = tokens(196).float()
    text = explain(pixel_attention, q, q, q, backend="triton")
    assert "forward: flash_forward (" in text
    assert "note: no program holds a whole row of 196 scores of torch.float32" in text


def test_says_why_not_a_faster_one() -> None:
    q = tokens()
    assert "note" not in explain(pixel_attention, q, q, q, backend="triton")
    transposed = q.mT.contiguous().mT
    text = explain(pixel_attention, q, transposed, q, backend="triton")
    assert "note: k's channels are not adjacent in memory (stride 49)" in text
    assert "no program holds a whole row" in explain(
        pixel_attention, q, tokens(300), tokens(300), backend="triton"
    )


def test_the_block_says_what_its_layout_costs() -> None:
    x = torch.empty(2, 64, 7, 7)
    text = block(x, backend="triton")
    assert "forward: projection (" in text and "forward: whole_row_forward_residual (" in text
    assert "backward: projection (" in text and "one more transposing pass" in text
    assert "transposing" not in block(x.to(memory_format=torch.channels_last), backend="triton")


@pytest.mark.parametrize("learns", [False, True], ids=["fixed", "learned"])
def test_the_block_names_the_steps_that_run(monkeypatch, learns) -> None:
    """Compared with the steps themselves, of kernels and of torch."""
    x = torch.empty(2, 64, 7, 7).to(memory_format=torch.channels_last)
    weight, bias, gamma = torch.empty(96, 64), torch.empty(96), torch.zeros(())
    encoding = torch.empty(64, 7, 7, requires_grad=learns)
    options = {"key_channels": 16, "positional_encoding": encoding, "backend": "triton"}
    lines = explain(pixel_attention_block, x, weight, bias, gamma, **options).splitlines()
    named = [line.split()[1] for line in lines if line.startswith(("forward: ", "backward: "))]
    leaves = [t.requires_grad_() for t in (x, weight, bias, gamma)] + [encoding] * learns
    steps = []
    monkeypatch.setattr(Launch, "start", lambda launch, _: steps.append(launch.row.kernel))
    monkeypatch.setattr(
        Call, "start", lambda call, _: steps.append(call.function.__name__.strip("_"))
    )
    y = pixel_attention_block(x, weight, bias, gamma, **options)
    torch.autograd.grad(y, leaves, torch.zeros_like(y))
    assert steps == named
    assert steps[2:4] == ["projection", "whole_row_forward_residual"]
    products = ["multiply", "add_product", "projection"]
    sums = ["whole_map_backward", "map_sums", "total_sums"]
    assert steps[4:] == [*sums, *products, *["map_sums"] * learns]


def test_the_encoding() -> None:
    text = explain(add_positional_encoding_2d, torch.empty(2, 8, 3, 3), backend="triton")
    assert "forward: add_encoding (BLOCK " in text and "backward: nothing to run" in text
    text = explain(add_positional_encoding_2d, torch.empty(2, 8, 3, 3, dtype=torch.float64))
    assert text.startswith("add_positional_encoding_2d: reference (")


def test_refuses_what_the_call_would_refuse() -> None:
    q = tokens()
    with pytest.raises(ValueError, match=r"found k of \[2, 1, 49, 16\]"):
        explain(pixel_attention, q, tokens(channels=16), q)
    with pytest.raises(ValueError, match="found 6 channels; expected a multiple of 4"):
        explain(add_positional_encoding_2d, torch.zeros(1, 6, 2, 2))
    with pytest.raises(ValueError, match="explain: found optical_flow; expected one of pixel_att"):
        explain(optical_flow, q)


def test_the_workspace_and_its_limit() -> None:
    """Steps that repeat for parts of the maps are named once."""
    q = torch.zeros(8, 2, 100, 32, dtype=torch.float16)
    text = explain(pixel_attention, q, q, q, backend="triton")
    assert (
        "note: a workspace of 0.8 MiB backward; slt_fast.ops.set_workspace_limit allows 256.0"
        in text
    )
    product = "backward: multiply by torch ([8, 100, 32], [8, 32, 100], [8, 100, 100]), 2 times"
    assert product in text  # one for each head, as those are adjacent in memory
    set_workspace_limit(150_000)  # two heads of a map take 2 * 2 * 2 * 100 * 128 bytes
    try:
        text = explain(pixel_attention, q, q, q, backend="triton")
    finally:
        set_workspace_limit(256 * 2**20)
    assert (
        "note: a workspace of 0.1 MiB backward; slt_fast.ops.set_workspace_limit allows 0.1" in text
    )
    assert "; 4 programs of 4 warps" in text and "table row of sm_80), 8 times" in text
    with pytest.raises(ValueError, match="found 0 bytes; expected 1 or more"):
        set_workspace_limit(0)
