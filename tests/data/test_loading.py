"""Images that are made in the process that asks for them equal those of the loading processes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from slt_fast.data import batching, flow_images, loading
from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import BatchMaker, Readings, Vocabularies, batches
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.flow_cache.cache import open_flow_cache, with_cached_flow
from slt_fast.data.flow_cache.extraction import extract, make_plan
from slt_fast.data.input import InputConfig
from slt_fast.data.loader_processes import InSharedMemory, checked
from slt_fast.data.loading import ClipDataset, load_images, make_images, preload, read_clip
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import UserError, result_or_error

FLOW = InputConfig(image_size=32, flow_preset="fast")
CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
EVERYTHING = AugmentationConfig(zoom=0.1, shift=0.1, vigour=0.1, frame_dropout=0.2)


def clip(number: int, source=None) -> AnnotatedClip:
    size = (40 + 8 * number, 48)  # each clip of another size
    default = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", number, (0, 1), size)
    return AnnotatedClip(
        f"clip-{number}", source or default, "a b", ("A",), "x", "train", f"list:{number}"
    )


CLIPS = [clip(0), clip(1), clip(2, VideoSource("missing.mp4")), clip(3)]
WORDS = Vocabularies.build(CLIPS)


@pytest.mark.parametrize(("augmentation", "num_workers"), [(None, 0), (EVERYTHING, 1)])
def test_batches_are_the_same(augmentation: AugmentationConfig | None, num_workers: int) -> None:
    makers = [BatchMaker(WORDS, FLOW, augmentation, 5, device) for device in (None, CPU)]
    groups = [[2, 0], [3, 1]]
    options = {"num_workers": num_workers, "epoch": 1}
    there, here = (list(batches(ClipDataset(CLIPS), maker, groups, **options)) for maker in makers)
    for first, second in zip(there, here, strict=True):
        assert first.clips == second.clips and torch.equal(first.text, second.text)
        assert torch.equal(first.images, second.images) and second.images.dtype == torch.float32
        assert torch.equal(first.lengths, second.lengths)
        assert list(map(str, first.errors)) == list(map(str, second.errors))


@pytest.mark.parametrize("device", DEVICES)
def test_frames_are_sent_and_images_made_on_the_device(device: str) -> None:
    reading = Readings(ClipDataset(CLIPS))[3, 1]
    assert reading.key == (3, 1)
    assert np.array_equal(reading.read.distinct.numpy(), CLIPS[1].source.read())
    images = BatchMaker(WORDS, FLOW, EVERYTHING, device=torch.device(device)).images(reading)
    assert reading.clip == CLIPS[1] and images.device.type == device
    expected = BatchMaker(WORDS, FLOW, EVERYTHING).images(reading)
    assert (images.cpu() - expected).abs().mean() <= (0 if device == "cpu" else 1e-3)


def test_preloaded_images_are_the_same() -> None:
    there = preload(CLIPS, FLOW, num_workers=1, label="x")
    here = preload(CLIPS, FLOW, num_workers=0, label="x", device=CPU)
    assert str(there.pop(2)) == str(here.pop(2))
    assert all(map(torch.equal, there, here))
    on_device, in_workers = (BatchMaker(WORDS, FLOW, EVERYTHING, device=d) for d in (CPU, None))
    (batch,) = batches(ClipDataset(CLIPS[:2], here), on_device, [[0, 1]])
    readings = Readings(ClipDataset(CLIPS[:2], there))
    expected = [in_workers.images(readings[0, index]) for index in (0, 1)]
    assert torch.equal(batch.images, torch.cat(expected))


def test_cached_flow_is_read_as_ever(tmp_path: Path) -> None:
    cache = open_flow_cache(tmp_path / "flow", FLOW, tmp_path, create=True)
    extract(make_plan([CLIPS[0].source], cache), cache, FLOW, num_workers=0)
    (cached,) = with_cached_flow(CLIPS[:1], cache)
    read = read_clip(cached)
    assert read.dtype == torch.float16 and read.shape[1] == 2
    images = make_images(read, FLOW)
    assert images.dtype == torch.float16 and torch.equal(images, load_images(cached, FLOW))
    assert make_images(images, FLOW) is images


@pytest.mark.parametrize(
    "read",
    [torch.zeros(2, 2, 4, 4), torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 4).half()],
    ids=["flow of float32", "images of float32", "four channels"],
)
def test_other_tensors_make_no_images(read) -> None:
    with pytest.raises(ValueError, match=r"expected torch.float16 of \[T, 2 or 3") as caught:
        make_images(read, FLOW)
    assert not isinstance(caught.value, UserError)


def test_a_clip_that_flow_refuses_is_an_error_of_its_own() -> None:
    small = clip(0, SyntheticSource("a", ("DOG",), "statement", 0, (0, 0), (6, 40)))
    maker = BatchMaker(WORDS, FLOW, device=CPU)
    (batch,) = batches(ClipDataset([small, CLIPS[0]]), maker, [[0, 1]])
    assert batch.clips == (CLIPS[0],)
    assert "found frames of 6x40 pixels" in str(batch.errors[0])


def test_frames_for_the_gpu_are_put_into_shared_memory_where_errors_are_seen(monkeypatch) -> None:
    shared: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "share_memory_", lambda tensor: shared.append(tensor))
    readings = [Readings(ClipDataset(CLIPS))[0, number] for number in range(3)]
    InSharedMemory(list, batching._read_tensors)(readings)
    expected = [tensor for reading in readings[:2] for tensor in vars(reading.read).values()]
    assert len(shared) == len(expected) == 4 and all(map(torch.equal, shared, expected))


def test_too_little_memory_is_told(monkeypatch) -> None:
    def full(*_, **__) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("slt_fast.data.loading.image_parts", full)
    total = sum(len(clip.source.read()) for clip in CLIPS[:2])
    message = f"clips clip-0, clip-1: found {total} frames, more than the memory of cpu holds"
    with pytest.raises(UserError, match=message):
        list(batches(ClipDataset(CLIPS[:2]), BatchMaker(WORDS, FLOW, device=CPU), [[0, 1]]))


def test_packing_beyond_the_memory_is_an_error_of_the_batch(monkeypatch) -> None:
    """Which a loader process returns, because torch would raise it with a traceback for text."""
    monkeypatch.setattr(BatchMaker, "_pack", lambda self, items: torch.empty(2**60))
    readings = [Readings(ClipDataset(CLIPS))[0, 0]]
    message = r"clips clip-0: found \d+ frames, more than the memory of cpu holds"
    with pytest.raises(UserError, match=message):
        list(checked([InSharedMemory(BatchMaker(WORDS, FLOW), list)(readings)]))


@pytest.mark.parametrize("config", [FLOW, InputConfig("rgb", 32)])
@pytest.mark.parametrize("rate", [12, 25, 60, 110])
def test_images_of_resampled_clips_do_not_depend_on_the_parts(monkeypatch, config, rate) -> None:
    """Neither on the process that makes them, nor on how many frames are read at once."""
    resampled = replace(CLIPS[0], source=CLIPS[0].source.at_rate(rate))
    images = load_images(resampled, config)
    assert len(images) == resampled.source.num_frames() == len(read_clip(resampled))
    assert torch.equal(make_images(read_clip(resampled), config), images)
    assert torch.equal(ClipDataset([resampled], config=config)[0], images)
    for num_frames in (1, 3):
        monkeypatch.setattr(flow_images, "_PIXELS_AT_ONCE", num_frames * 40 * 48)
        assert torch.equal(load_images(resampled, config), images)
    if rate == 25:
        assert torch.equal(images, load_images(CLIPS[0], config))


def test_log_files_get_no_progress_bar(monkeypatch, capsys) -> None:
    monkeypatch.setattr(loading, "tqdm", lambda **options: tqdm(**options | {"delay": 0}))
    load_images(clip(0), InputConfig(image_size=32, flow_preset="fast"))
    assert capsys.readouterr().err == ""


def out_of_memory(self: SyntheticSource) -> np.ndarray:
    return np.empty(2**60, np.uint8)


@pytest.mark.parametrize("config", [None, FLOW])
def test_a_clip_beyond_the_memory_is_an_error_of_its_own(monkeypatch, config) -> None:
    monkeypatch.setattr(SyntheticSource, "frames", out_of_memory)
    error = Readings(ClipDataset(CLIPS[:1], config=config))[0, 0].read
    assert (
        str(error) == "a: found more frames than the memory holds; expected a shorter clip or "
        "fewer workers"
    )


def test_torch_reports_a_lack_of_memory_in_its_own_way() -> None:
    error = result_or_error("a", lambda: torch.empty(2**60, dtype=torch.uint8))
    assert "a: found more frames than the memory holds" in str(error)
    with pytest.raises(RuntimeError, match="size mismatch|must match"):
        result_or_error("a", lambda: torch.ones(2) + torch.ones(3))
