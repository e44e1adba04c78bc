"""torch.ops.slt_fast.disvr and opencv_dis: registered soundly, the same however they are run."""

import os
import subprocess
import sys

import pytest
import torch

from benchmarks.cases import moving_clip
from slt_fast.ops import optical_flow

SETTINGS = {"disvr": (0, 4, 8, 2, 2, 5), "opencv_dis": (1, 3, 4, 2)}


@pytest.mark.parametrize("name", SETTINGS)
def test_is_registered_soundly(name) -> None:
    operator = getattr(torch.ops.slt_fast, name).default
    frames = moving_clip(3, 24, 40)
    torch.library.opcheck(operator, (frames, *SETTINGS[name]))
    torch.library.opcheck(operator, (frames.transpose(1, 2), *SETTINGS[name]))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 16, 16), "must be uint8"),
        (torch.zeros(16, 16).byte(), "must be uint8"),
        (torch.zeros(1, 16, 16).byte(), "two frames"),
        (torch.zeros(2, 7, 16).byte(), "8 pixels a side"),
    ],
)
def test_refuses_other_frames(name, frames, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        getattr(torch.ops.slt_fast, name)(frames, *SETTINGS[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_refuses_other_settings(name) -> None:
    first, _, *others = SETTINGS[name]
    for settings in ((-1, 4, *others), (first, 0, *others), (first, 9, *others)):
        with pytest.raises(RuntimeError, match="level|patch_stride"):
            getattr(torch.ops.slt_fast, name)(moving_clip(2, 16, 16), *settings)


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
@pytest.mark.parametrize(("H", "W"), [(8, 8), (8, 64), (33, 47), (64, 64), (130, 97), (260, 210)])
def test_threads_change_nothing(preset, H, W) -> None:
    """One thread takes pair by pair; several share the rows of a pair, or the pairs of a clip."""
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
@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_instruction_sets_agree(tmp_path, preset) -> None:
    """Bounds of a fused multiplication: a few pixels of a field react strongly to rounding."""
    frames = moving_clip(3, 120, 90)
    torch.save(frames, tmp_path / "frames.pt")
    code = (
        "import sys, torch; from slt_fast.ops import optical_flow; "
        "assert torch.ops.slt_fast.cpu_instruction_set() == 'baseline'; "
        "frames = torch.load(sys.argv[1], weights_only=True); "
        "torch.save(optical_flow(frames, preset=sys.argv[3]), sys.argv[2])"
    )
    paths = [str(tmp_path / "frames.pt"), str(tmp_path / "flow.pt")]
    environment = os.environ | {"SLT_FAST_CPU": "baseline"}
    subprocess.run([sys.executable, "-c", code, *paths, preset], check=True, env=environment)
    difference = (
        torch.load(paths[1], weights_only=True) - optical_flow(frames, preset=preset)
    ).abs()
    assert difference.median() <= 1e-4
    assert difference.quantile(0.99) <= 1e-2
