import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from benchmarks.flow_pairs import load_pair
from slt_fast.errors import UserError
from slt_fast.ops import optical_flow
from slt_fast.ops.extension import EXTENSION
from slt_fast.ops.optical_flow import (
    PRESETS,
    backends,
    choose_flow_backend,
    flow_parameters,
    rgb_to_grey,
)
from slt_fast.ops.optical_flow.grey import rgb_to_grey_reference
from slt_fast.ops.optical_flow.opencv import opencv_refusal

OPENCV_PRESETS = {
    "opencv_ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "opencv_fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "opencv_medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# The others need weights: tests/ops/test_raft.py.
WITHOUT_WEIGHTS = [preset for preset in PRESETS if not preset.startswith("raft")]
SIZES = [(8, 8), (8, 12), (12, 8), (8, 8 * 40), (17, 40), (64, 64), (90, 131)]


def texture(H: int, W: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (H, W), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def moving_clip(T: int, H: int, W: int, u: int, v: int) -> torch.Tensor:
    """Grey frames [T, H, W] of a texture that moves by (u, v) whole pixels with each frame."""
    border = T * max(abs(u), abs(v))
    image = texture(H + 2 * border, W + 2 * border)
    corners = [(border - t * v, border - t * u) for t in range(T)]
    return torch.from_numpy(np.stack([image[y : y + H, x : x + W] for y, x in corners]))


def every_colour() -> torch.Tensor:
    """Frames [52, 52, 52, 3] with each fifth value of each channel."""
    values = torch.arange(0, 256, 5, dtype=torch.uint8)
    return torch.cartesian_prod(values, values, values).view(52, 52, 52, 3)


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
@pytest.mark.parametrize(("u", "v"), [(1, 0), (0, 2), (-3, 1)])
def test_finds_a_known_shift(preset, u, v) -> None:
    flow = optical_flow(moving_clip(3, 96, 112, u, v), preset=preset)
    assert flow.shape == (2, 2, 96, 112)
    assert flow.dtype == torch.float32
    for pair in flow[..., 8:-8, 8:-8]:
        assert pair[0].median() == pytest.approx(u, abs=0.02)
        assert pair[1].median() == pytest.approx(v, abs=0.02)


@pytest.mark.parametrize("preset", WITHOUT_WEIGHTS)
def test_still_frames_have_no_flow(preset) -> None:
    frames = torch.from_numpy(texture(64, 64)).expand(3, 64, 64)
    flow = optical_flow(frames, preset=preset)
    torch.testing.assert_close(flow, torch.zeros(2, 2, 64, 64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("preset", OPENCV_PRESETS)
@pytest.mark.parametrize(("H", "W"), [(17, 40), (56, 56), (80, 80), (90, 131), (210, 260)])
def test_opencv_presets_are_what_cv2_computes(preset, H, W) -> None:
    """At 80x80 and 90x131 a kept cv2 object gives another flow for the second pair."""
    frames = moving_clip(3, H, W, 2, 1)
    flow = optical_flow(frames, preset=preset)
    for t in range(2):
        dis = cv2.DISOpticalFlow_create(OPENCV_PRESETS[preset])
        expected = dis.calc(frames[t].numpy(), frames[t + 1].numpy(), None)
        assert np.array_equal(flow[t].permute(1, 2, 0), expected)


@pytest.mark.parametrize(
    ("preset", "H", "W"),
    [("default", *size) for size in SIZES] + [("fast", 90, 131), ("best", 17, 40)],
)
def test_a_pair_is_independent_of_its_clip(preset, H, W) -> None:
    frames = moving_clip(4, H, W, 1, 1)
    together = optical_flow(frames, preset=preset)
    alone = torch.cat([optical_flow(frames[t : t + 2], preset=preset) for t in range(3)])
    assert torch.equal(together, alone)


def test_more_work_comes_closer_to_the_truth(shared_data) -> None:
    pair = load_pair(shared_data / "flow" / "middlebury" / "RubberWhale", (224, 224))

    def end_point_error(preset: str) -> float:
        flow = optical_flow(torch.from_numpy(pair.frames), preset=preset)[0]
        return pair.end_point_error(flow.numpy())

    errors = [end_point_error(preset) for preset in ("opencv_fast", "fast", "default")]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.13


def test_colour_frames_are_turned_grey() -> None:
    frames = torch.stack([moving_clip(2, 48, 64, u, 0) for u in (1, 2, 3)], dim=-1)
    grey = np.stack([cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY) for frame in frames])
    assert torch.equal(optical_flow(frames), optical_flow(torch.from_numpy(grey)))


def test_any_strides() -> None:
    frames = moving_clip(3, 40, 60, 1, 1)
    assert torch.equal(optical_flow(frames.mT.contiguous().mT), optical_flow(frames))


@pytest.mark.parametrize(("preset", "backend"), [("fast", "cpu"), ("opencv_fast", "opencv")])
def test_runs_in_threads_and_in_forked_workers(preset, backend) -> None:
    frames = torch.stack([moving_clip(3, 60, 80, u, 1) for u in (1, 2, 3)], dim=-1)
    options = {"preset": preset, "backend": backend}
    num_threads = torch.get_num_threads()
    # One of them does not exist in the child. (Nor does it for torch: its own loops take both from
    # 32,768 values on, more than there are here.)
    torch.set_num_threads(2)
    expected = optical_flow(frames, **options)
    with ThreadPoolExecutor(4) as threads:
        flows = list(threads.map(lambda _: optical_flow(frames, **options), range(8)))
    assert all(torch.equal(flow, expected) for flow in flows)

    def compute_and_compare() -> None:
        assert np.array_equal(optical_flow(frames, **options).numpy(), expected.numpy())

    worker = multiprocessing.get_context("fork").Process(target=compute_and_compare, daemon=True)
    worker.start()
    worker.join(60)
    torch.set_num_threads(num_threads)
    assert worker.exitcode == 0


@pytest.mark.parametrize("function", [rgb_to_grey, rgb_to_grey_reference])
def test_grey_equals_opencv(function) -> None:
    frames = every_colour()
    expected = [cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY) for frame in frames]
    assert torch.equal(function(frames), torch.from_numpy(np.stack(expected)))
    strided = frames.permute(0, 2, 1, 3)[::2, 1:, ::3]
    wanted = torch.from_numpy(np.stack(expected)).permute(0, 2, 1)[::2, 1:, ::3]
    assert torch.equal(function(strided), wanted)
    assert function(frames[:0]).shape == (0, 52, 52)


def test_grey_op_is_registered_soundly() -> None:
    assert EXTENSION is not None, "the extension is not built: run `make setup`"
    frames = every_colour()[:2, :5, :7]
    torch.library.opcheck(torch.ops.slt_fast.rgb_to_grey.default, (frames,))
    torch.library.opcheck(torch.ops.slt_fast.rgb_to_grey.default, (frames.transpose(1, 2),))
    with pytest.raises(RuntimeError, match="must be uint8"):
        torch.ops.slt_fast.rgb_to_grey(frames.float())
    with pytest.raises(RuntimeError, match="must be"):
        torch.ops.slt_fast.rgb_to_grey(frames[0])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 16, 16), r"found torch.float32 of \[2, 16, 16\]; expected torch.uint8"),
        (torch.zeros(16, 16).byte(), r"found torch.uint8 of \[16, 16\]"),
        (torch.zeros(2, 3, 16, 16).byte(), r"found torch.uint8 of \[2, 3, 16, 16\]"),
    ],
)
def test_frames_of_another_kind_are_a_defect_of_the_caller(frames, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        optical_flow(frames)
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(1, 16, 16).byte(), "found 1 frames; expected at least 2"),
        (torch.zeros(2, 7, 40).byte(), "found frames of 7x40 pixels"),
        (torch.zeros(2, 0, 0).byte(), "found frames of 0x0 pixels"),
        (torch.zeros(2, 8, 32768).byte(), "found frames of 8x32768 pixels; .* at most 32767"),
    ],
)
def test_bad_frames_are_named(frames, message) -> None:
    with pytest.raises(UserError, match=message):
        optical_flow(frames)


@pytest.mark.parametrize(("preset", "W"), [("opencv_fast", 64), ("opencv_medium", 300)])
def test_sizes_that_crash_opencv_are_refused(preset, W) -> None:
    with pytest.raises(ValueError, match=f"found frames of 8x{W}.*expected H >= "):
        optical_flow(torch.zeros(2, 8, W, dtype=torch.uint8), preset=preset, backend="opencv")


def test_frames_too_small_for_opencv_are_refused() -> None:
    with pytest.raises(ValueError, match="found frames of 11x11 pixels; expected one side of at"):
        optical_flow(torch.zeros(2, 11, 11, dtype=torch.uint8), backend="opencv")


def test_presets_and_backends_that_cannot_run_say_why() -> None:
    frames = moving_clip(2, 16, 16, 1, 0)
    assert torch.equal(optical_flow(frames, backend="cpu"), optical_flow(frames))
    if not torch.cuda.is_available():
        with pytest.raises(
            ValueError, match="'cuda' cannot run: .*kernels.*; use 'auto' or 'cpu'$"
        ):
            optical_flow(frames, backend="cuda")
    with pytest.raises(ValueError, match="found backend 'gpu'; expected one of"):
        optical_flow(frames, backend="gpu")
    with pytest.raises(ValueError, match="found preset 'slow'; expected one of"):
        optical_flow(frames, preset="slow")
    message = "'opencv_fast' with backend 'cpu'; expected one of .'fast', .*, or backend 'opencv'"
    with pytest.raises(UserError, match=message):
        optical_flow(frames, preset="opencv_fast", backend="cpu")


@pytest.fixture
def no_opencv(monkeypatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cv2", None)
    opencv_refusal.cache_clear()
    yield
    opencv_refusal.cache_clear()


def test_without_opencv_its_presets_say_what_to_install(no_opencv) -> None:
    frames = moving_clip(2, 64, 64, 1, 0)
    for preset, backend in (("opencv_fast", "auto"), ("fast", "opencv")):
        with pytest.raises(UserError, match="backend 'opencv' cannot run: .*install opencv-python"):
            optical_flow(frames, preset=preset, backend=backend)
        with pytest.raises(UserError, match="install opencv-python"):
            flow_parameters(preset, backend)
    assert choose_flow_backend()[0] == "cpu"


def test_without_the_extension_auto_takes_opencv_or_plain_pytorch(monkeypatch, request) -> None:
    monkeypatch.setattr(backends, "EXTENSION", None)
    monkeypatch.setattr(backends, "REFUSAL", "it is not built")
    assert choose_flow_backend() == ("opencv", "it is not built")
    request.getfixturevalue("no_opencv")
    backend, reason = choose_flow_backend()
    assert backend == "reference"
    assert "OpenCV cannot be imported" in reason and reason.endswith("; it is not built")
    with pytest.raises(UserError, match="'cpu' cannot run: it is not built; .* 'reference'"):
        choose_flow_backend("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="'cuda' cannot run: .*; use 'reference'"):
            choose_flow_backend("cuda")


def test_auto_logs_its_choice_once(caplog) -> None:
    caplog.set_level("INFO")
    backends._log_choice.cache_clear()
    choose_flow_backend()
    choose_flow_backend()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("optical_flow: backend cpu (the extension, ")


def test_parameters_name_the_flow() -> None:
    parameters = flow_parameters("fast")
    assert json.loads(json.dumps(parameters)) == parameters
    assert (parameters["algorithm"], parameters["preset"]) == ("disvr", "fast")
    assert (parameters["finest_level"], parameters["warps"]) == (1, 2)
    parameters = flow_parameters("fast", "opencv")
    assert (parameters["algorithm"], parameters["version"]) == ("opencv_dis", cv2.__version__)
    assert parameters["finest_scale"] == 1
    different = {json.dumps(flow_parameters(preset)) for preset in WITHOUT_WEIGHTS}
    assert len(different) == len(WITHOUT_WEIGHTS)
    assert flow_parameters("opencv_fast") == flow_parameters("opencv_fast", "opencv")
    with pytest.raises(ValueError, match="found preset"):
        flow_parameters("slow")
    if torch.cuda.is_available():
        assert flow_parameters("fast", "cuda") == flow_parameters("fast", "cpu")
    else:
        with pytest.raises(ValueError, match="cannot run"):
            flow_parameters("fast", "cuda")


def test_a_device_may_be_named_by_a_string() -> None:
    for device in ("cpu", torch.device("cpu")):
        assert choose_flow_backend(device=device) == choose_flow_backend()
