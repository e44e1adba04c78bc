"""The flow's kernels: parity with the CPU, the same to the bit, times and memory."""

from __future__ import annotations

from dataclasses import asdict

import torch

from benchmarks import timing
from slt_fast.ops import optical_flow
from slt_fast.ops.extension import EXTENSION, cuda_refusal

# Of a field's differences: rounding moves a few pixels far, so that the largest tells nothing.
MEDIAN, P99 = 1e-4, 1e-2


def moving_clip(T: int, H: int, W: int, seed: int = 0) -> torch.Tensor:
    """Smooth noise of which each frame shows a part a pixel lower and two to the right of the one
    before: [T, H, W] uint8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, H // 4 + 4, W // 4 + 4, generator=generator) * 255
    size = (H + 2 * T, W + 2 * T)
    image = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0, 0].clamp(0, 255).byte()
    return torch.stack([image[t : t + H, 2 * t : 2 * t + W] for t in range(T)])


def parity(preset: str, H: int, W: int, device: str) -> dict:
    """The CPU's flow within bounds of rounding; alone, again and in a graph the same to the bit."""
    refusal = _refusal(device)
    if refusal:
        return {"passed": None, "detail": refusal}
    frames = moving_clip(4, H, W)
    there = frames.to(device)
    flow = optical_flow(there, preset=preset)
    difference = (flow.cpu() - optical_flow(frames, preset=preset)).abs().flatten().double()
    median, p99 = difference.quantile(torch.tensor([0.5, 0.99], dtype=torch.float64)).tolist()
    wrong = [] if median <= MEDIAN and p99 <= P99 else ["parity"]
    if not torch.equal(optical_flow(there, preset=preset), flow):
        wrong.append("repeat")
    if not torch.equal(optical_flow(there[-2:], preset=preset), flow[-1:]):
        wrong.append("alone")
    if device == "cuda" and not _graph_is_equal(there, preset, flow):
        wrong.append("graph")
    detail = f"median {median:.1e}, p99 {p99:.1e} pixels; wrong: {', '.join(wrong) or 'none'}"
    return {"passed": not wrong, "detail": detail}


def _refusal(device: str) -> str | None:
    if device == "cuda":
        return cuda_refusal()
    return "the extension is not built" if EXTENSION is None else None


def _graph_is_equal(frames: torch.Tensor, preset: str, expected: torch.Tensor) -> bool:
    kept = {}
    captured = frames.flip(0)
    replay, _ = timing.captured(
        lambda: [lambda: kept.update(flow=optical_flow(captured, preset=preset))]
    )
    captured.copy_(frames)
    replay()
    torch.cuda.synchronize()
    return torch.equal(kept["flow"], expected)


def time_preset(preset: str, T: int, H: int, W: int, device: str, seconds: float) -> dict:
    """Times a clip whose flow has parity.

    Returns:
        {"times": {"launched" or "graph": Timing of a pair or a sentence}, "peak bytes": ...}, or
        {"refused": why}.
    """
    checked = parity(preset, H, W, device)
    if not checked["passed"]:
        return {"refused": checked["detail"]}
    frames, place = moving_clip(T, H, W).to(device), torch.device(device)

    def step() -> torch.Tensor:
        return optical_flow(frames, preset=preset)

    times = {"launched": _a_pair(timing.time_steps([step], place, seconds), T - 1)}
    if device == "cuda":
        try:
            replay, _ = timing.captured(lambda: [step])
            times["graph"] = _a_pair(timing.time_steps([replay], place, seconds), T - 1)
        except RuntimeError as error:
            times["graph"] = f"not captured: {timing.first_line(error)}"
    return {"times": times, "peak bytes": timing.peak_memory(step, place)}


def _a_pair(clip: timing.Timing, num_pairs: int) -> dict:
    pair = {name: getattr(clip, name) / num_pairs for name in ("median", "p20", "p80")}
    return asdict(timing.Timing(**pair, num_samples=clip.num_samples))
