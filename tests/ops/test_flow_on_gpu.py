"""The flow on a GPU: the CPU's results, the same to the bit each time, without waiting."""

import pytest
import torch

from benchmarks.cases import moving_clip
from slt_fast.ops import optical_flow
from slt_fast.ops.optical_flow import choose_flow_backend, flow_parameters, rgb_to_grey
from slt_fast.ops.optical_flow.grey import rgb_to_grey_reference

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("flow_kernels")]

PRESETS = ("fast", "default", "best")
SIZES = [(8, 8), (8, 300), (33, 47), (64, 64), (65, 129), (224, 224), (260, 210), (720, 1280)]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_equals_the_cpus(preset, H, W) -> None:
    frames = moving_clip(3, H, W)
    flow = optical_flow(frames.cuda(), preset=preset)
    assert flow.is_cuda
    difference = (flow.cpu() - optical_flow(frames, preset=preset)).abs().flatten()
    assert difference.median() <= 1e-4
    assert difference.kthvalue(int(0.99 * len(difference))).values <= 1e-2


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("H", "W"), SIZES[:-1])
def test_a_pair_is_the_same_to_the_bit(preset, H, W) -> None:
    """Each time and in any clip: 300 pairs are more than one part."""
    frames = moving_clip(4, H, W).cuda()
    together = optical_flow(frames, preset=preset)
    assert all(torch.equal(optical_flow(frames, preset=preset), together) for _ in range(5))
    alone = torch.cat([optical_flow(frames[t : t + 2], preset=preset) for t in range(3)])
    assert torch.equal(together, alone)
    long = optical_flow(frames[:2].repeat(151, 1, 1), preset=preset)
    assert torch.equal(long[300], together[0])


def test_a_graph_captures_it() -> None:
    frames, other = moving_clip(5, 120, 90).cuda(), moving_clip(5, 120, 90, seed=1).cuda()
    expected = optical_flow(other)
    optical_flow(frames)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        flow = optical_flow(frames)
    frames.copy_(other)
    graph.replay()
    assert torch.equal(flow, expected)


def test_it_runs_on_the_current_stream_and_never_waits() -> None:
    frames = moving_clip(5, 224, 224)
    colours = frames[..., None].expand(-1, -1, -1, 3)
    expected = optical_flow(frames.cuda())
    optical_flow(colours.cuda())  # kernels are loaded when they are first launched, which waits
    stream, held = torch.cuda.Stream(), frames.cuda()
    colours = colours.cuda()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        held.copy_(held.flip(0))
        torch.cuda.set_sync_debug_mode("error")
        try:
            flow = optical_flow(held)
            optical_flow(colours)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert not stream.query()  # the launches are ahead of the GPU
    stream.synchronize()
    assert torch.equal(flow, optical_flow(frames.flip(0).cuda()))
    assert not torch.equal(flow, expected)


@pytest.mark.parametrize(("T", "H", "W"), [(9, 8, 32767), (9, 32767, 8), (33, 8192, 8192)])
def test_big_clips(T: int, H: int, W: int) -> None:
    """The longest side; and a clip of more than 2^31 pixels."""
    if torch.cuda.get_device_properties(0).total_memory < 12 * T * H * W:
        pytest.skip("the GPU's memory holds no clip and flow of that size")
    frames = torch.randint(0, 256, (T, H, W), dtype=torch.uint8, device="cuda")
    flow = optical_flow(frames, preset="fast")
    for t in (0, T - 2):
        assert torch.equal(flow[t], optical_flow(frames[t : t + 2], preset="fast")[0])


def test_many_pairs() -> None:
    """More than the 65535 planes of a grid."""
    frames = torch.randint(0, 256, (70_000, 8, 8), dtype=torch.uint8, device="cuda")
    flow = optical_flow(frames)
    assert torch.equal(flow[-3:], optical_flow(frames[-4:]))


def test_any_strides() -> None:
    frames = moving_clip(3, 40, 60).cuda()
    assert torch.equal(optical_flow(frames.mT.contiguous().mT), optical_flow(frames))
    assert torch.equal(optical_flow(frames[:, ::2, 1:]), optical_flow(frames[:, ::2, 1:].clone()))


def test_grey_is_exact() -> None:
    frames = torch.randint(0, 256, (3, 41, 37, 3), dtype=torch.uint8)
    for some in (frames, frames[:, ::2, 3:], frames.transpose(1, 2), frames[:0]):
        assert torch.equal(rgb_to_grey(some.cuda()).cpu(), rgb_to_grey_reference(some))


def test_is_registered_soundly() -> None:
    frames = moving_clip(3, 24, 40).cuda()
    torch.library.opcheck(torch.ops.slt_fast.disvr.default, (frames, 0, 4, 8, 2, 2, 5))
    torch.library.opcheck(
        torch.ops.slt_fast.rgb_to_grey.default, (frames[..., None].repeat(1, 1, 1, 3),)
    )


def test_backends() -> None:
    frames = moving_clip(2, 64, 64)
    assert choose_flow_backend(device=torch.device("cuda"))[0] == "cuda"
    assert choose_flow_backend("auto")[0] == "cpu"
    flow = optical_flow(frames, backend="cuda")
    assert flow.is_cpu and torch.equal(flow, optical_flow(frames.cuda()).cpu())
    assert optical_flow(frames.cuda(), backend="cpu").is_cuda
    opencv = optical_flow(frames.cuda(), preset="opencv_fast")
    assert torch.equal(opencv.cpu(), optical_flow(frames, preset="opencv_fast"))
    with pytest.raises(ValueError, match="'opencv_fast' with backend 'cuda'"):
        optical_flow(frames.cuda(), preset="opencv_fast", backend="cuda")
    assert flow_parameters("best", "cuda") == flow_parameters("best", "cpu")


@pytest.mark.parametrize(
    ("frames", "settings", "message"),
    [
        (torch.zeros(2, 16, 16), (0, 4, 8, 2, 2, 5), "must be uint8"),
        (torch.zeros(1, 16, 16).byte(), (0, 4, 8, 2, 2, 5), "two frames"),
        (torch.zeros(2, 7, 16).byte(), (0, 4, 8, 2, 2, 5), "8 pixels a side"),
        (torch.zeros(2, 16, 16).byte(), (0, 9, 8, 2, 2, 5), "patch_stride"),
        (torch.zeros(2, 16, 16).byte(), (0, 4, 8, 2, 2, 13), "12 sweeps at most, found 13"),
    ],
)
def test_what_cannot_run_says_why(frames, settings, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.slt_fast.disvr(frames.cuda(), *settings)
