"""torch.ops.slt_fast.disvr is registered soundly, and computes the same with any threads."""

import os
import subprocess
import sys

import pytest
import torch

from benchmarks.cases import moving_clip
from slt_fast.ops import optical_flow

SETTINGS = (0, 4, 8, 2, 2, 5)


def test_is_registered_soundly() -> None:
    operator = torch.ops.slt_fast.disvr.default
    frames = moving_clip(3, 24, 40)
    torch.library.opcheck(operator, (frames, *SETTINGS))
    torch.library.opcheck(operator, (frames.transpose(1, 2), *SETTINGS))


@pytest.mark.parametrize("backend", ["auto", "cpu"])
def test_compiles_to_one_graph(backend: str) -> None:
    """The choice of a backend is part of tracing, as it asks the extension what it can do."""

    def halved(frames: torch.Tensor) -> torch.Tensor:
        return optical_flow(frames // 2, backend=backend) * 2

    grey = moving_clip(3, 24, 40)
    for frames in (grey, grey.unsqueeze(-1).expand(-1, -1, -1, 3)):
        torch.compiler.reset()
        compiled = torch.compile(halved, backend="eager", fullgraph=True)
        assert torch.equal(compiled(frames), halved(frames))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 16, 16), "must be uint8"),
        (torch.zeros(16, 16).byte(), "must be uint8"),
        (torch.zeros(1, 16, 16).byte(), "two frames"),
        (torch.zeros(2, 7, 16).byte(), "8 pixels a side"),
    ],
)
def test_refuses_other_frames(frames, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.slt_fast.disvr(frames, *SETTINGS)


KINDS = {
    "sparse": lambda frames: frames.to_sparse(),
    "nested": lambda frames: torch.nested.nested_tensor(list(frames), layout=torch.jagged),
    "torch.float32": lambda frames: frames.float().to("meta"),
    "uint8": lambda frames: frames[0].to("meta"),
    "ndarray": lambda frames: frames.numpy(),
    "list": lambda frames: frames.tolist(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_frames_are_named(kind) -> None:
    """In a few words: torch itself would list its 40 kinds of tensors."""
    grey, rgb = torch.zeros(2, 16, 16).byte(), torch.zeros(2, 16, 16, 3).byte()
    with pytest.raises(RuntimeError, match=kind) as of_flow:
        torch.ops.slt_fast.disvr(KINDS[kind](grey), *SETTINGS)
    with pytest.raises(RuntimeError, match=kind) as of_grey:
        torch.ops.slt_fast.rgb_to_grey(KINDS[kind](rgb))
    for error in (of_flow, of_grey):
        assert type(error.value) is RuntimeError
    for frames in (grey, rgb):
        for backend in ("auto", "reference", "opencv"):
            with pytest.raises((TypeError, ValueError), match="optical_flow: found"):
                optical_flow(KINDS[kind](frames), backend=backend)
    with pytest.raises(ValueError, match="found frames on meta; expected frames with values"):
        optical_flow(grey.to("meta"))


@pytest.mark.parametrize("threads", [1, 2])
def test_too_little_memory_is_a_memory_error_of_one_line(threads, capfd) -> None:
    frames = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(2_000_000, 8000, 8000)
    colours = frames.unsqueeze(-1).expand(-1, -1, -1, 3)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for call in (
            lambda: torch.ops.slt_fast.disvr(frames, *SETTINGS),
            lambda: torch.ops.slt_fast.rgb_to_grey(colours),
            lambda: optical_flow(frames),
            lambda: optical_flow(colours),
            lambda: optical_flow(frames, backend="opencv"),
        ):
            with pytest.raises(MemoryError) as error:
                call()
            assert "\n" not in str(error.value)
    finally:
        torch.set_num_threads(num_threads)
    assert capfd.readouterr().err == ""


def test_refuses_other_settings() -> None:
    first, _, *others = SETTINGS
    for settings in ((-1, 4, *others), (first, 0, *others), (first, 9, *others)):
        with pytest.raises(RuntimeError, match="level|patch_stride"):
            torch.ops.slt_fast.disvr(moving_clip(2, 16, 16), *settings)


@pytest.mark.parametrize(
    ("preset", "H", "W"),
    [
        *(("default", *size) for size in ((8, 8), (8, 64), (33, 47), (64, 64), (260, 210))),
        ("fast", 130, 97),
        ("best", 130, 97),
    ],
)
def test_threads_change_nothing(preset, H, W) -> None:
    """One thread computes pair by pair; several share the pairs of a clip or the rows of a pair."""
    frames = moving_clip(5, H, W)
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = optical_flow(frames, preset=preset)
        for threads in (2, 3, 8):
            torch.set_num_threads(threads)
            assert torch.equal(optical_flow(frames, preset=preset), expected)
    finally:
        torch.set_num_threads(num_threads)


@pytest.mark.parametrize("frames", [0, 255, "noise", "stripes"])
def test_extreme_frames_stay_finite(frames) -> None:
    if frames == "noise":
        clip = torch.randint(0, 256, (3, 61, 50), dtype=torch.uint8)
    elif frames == "stripes":
        clip = (torch.arange(60)[:, None] + torch.arange(50)).remainder(4).mul(85).byte()
        clip = torch.stack([clip, clip.roll(1, 1), clip.roll(2, 1)])
    else:
        clip = torch.full((3, 61, 50), frames, dtype=torch.uint8)
    for preset in ("fast", "default", "best", "opencv_ultrafast", "opencv_fast", "opencv_medium"):
        flow = optical_flow(clip, preset=preset)
        assert flow.isfinite().all()  # nothing checks it at run time
        if isinstance(frames, int):
            assert not flow.any()


@pytest.mark.skipif(
    torch.ops.slt_fast.cpu_instruction_set() == "baseline", reason="the CPU has no AVX2"
)
def test_instruction_sets_agree(tmp_path) -> None:
    """Uses percentiles, because a few pixels of a field react strongly to rounding."""
    frames, presets = moving_clip(3, 120, 90), ["fast", "default", "best"]
    torch.save(frames, tmp_path / "frames.pt")
    code = (
        "import sys, torch; from slt_fast.ops import optical_flow; "
        "assert torch.ops.slt_fast.cpu_instruction_set() == 'baseline'; "
        "frames = torch.load(sys.argv[1], weights_only=True); "
        "flows = [optical_flow(frames, preset=preset) for preset in sys.argv[3:]]; "
        "torch.save(flows, sys.argv[2])"
    )
    paths = [str(tmp_path / "frames.pt"), str(tmp_path / "flow.pt")]
    environment = os.environ | {"SLT_FAST_CPU": "baseline"}
    subprocess.run([sys.executable, "-c", code, *paths, *presets], check=True, env=environment)
    flows = torch.load(paths[1], weights_only=True)
    for preset, flow in zip(presets, flows, strict=True):
        difference = (flow - optical_flow(frames, preset=preset)).abs()
        assert difference.median() <= 1e-4
        assert difference.quantile(0.99) <= 1e-2
