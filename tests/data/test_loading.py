"""Images that are made in the process that asks for them equal those of the loading processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import ClipDataset, Vocabularies, batches
from slt_fast.data.clip import Clip
from slt_fast.data.flow_cache.cache import open_flow_cache, with_cached_flow
from slt_fast.data.flow_cache.extraction import extract, make_plan
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import load_images, make_images, preload, read_clip
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource

FLOW = InputConfig(image_size=32, flow_preset="fast")
CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
EVERYTHING = AugmentationConfig(zoom=0.1, shift=0.1, vigour=0.1, frame_dropout=0.2)


def clip(number: int, source=None) -> Clip:
    size = (40 + 8 * number, 48)  # each clip of another size
    default = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", number, (0, 1), size)
    return Clip(f"clip-{number}", source or default, "a b", ("A",), "x", "train", f"list:{number}")


CLIPS = [clip(0), clip(1), clip(2, VideoSource("missing.mp4")), clip(3)]
WORDS = Vocabularies.build(CLIPS)


@pytest.mark.parametrize(("augmentation", "num_workers"), [(None, 0), (EVERYTHING, 1)])
def test_batches_are_the_same(augmentation: AugmentationConfig | None, num_workers: int) -> None:
    options = {"augmentation": augmentation, "seed": 5}
    there, here = (
        list(batches(dataset, WORDS, batch_size=2, num_workers=num_workers, shuffle_epoch=1))
        for dataset in (ClipDataset(CLIPS, FLOW, **options, device=d) for d in (None, CPU))
    )
    for first, second in zip(there, here, strict=True):
        assert first.clips == second.clips and torch.equal(first.text, second.text)
        assert torch.equal(first.images, second.images) and second.images.dtype == torch.float32
        assert torch.equal(first.lengths, second.lengths)
        assert list(map(str, first.errors)) == list(map(str, second.errors))


@pytest.mark.parametrize("device", DEVICES)
def test_frames_are_sent_and_images_made_on_the_device(device: str) -> None:
    dataset = ClipDataset(CLIPS, FLOW, augmentation=EVERYTHING, device=torch.device(device))
    key, frames = dataset[3, 1]
    assert key == (3, 1) and frames.dtype == torch.uint8
    assert np.array_equal(frames.numpy(), CLIPS[1].source.read())
    same, images = dataset.finish(key, frames)
    assert same == CLIPS[1] and images.device.type == device
    expected = ClipDataset(CLIPS, FLOW, augmentation=EVERYTHING)[3, 1][1]
    assert (images.cpu() - expected).abs().mean() <= (0 if device == "cpu" else 1e-3)


def test_preloaded_images_are_the_same() -> None:
    options = {"num_workers": 1, "label": "x"}
    there = preload(CLIPS, FLOW, **options)
    here = preload(CLIPS, FLOW, **options, device=CPU)
    assert str(there.pop(2)) == str(here.pop(2))
    assert all(map(torch.equal, there, here))
    dataset = ClipDataset(CLIPS[:2], FLOW, preloaded=here, augmentation=EVERYTHING, device=CPU)
    (batch,) = batches(dataset, WORDS, batch_size=2)
    dataset = ClipDataset(CLIPS[:2], FLOW, preloaded=there, augmentation=EVERYTHING)
    assert torch.equal(batch.images, torch.cat([dataset[0, index][1] for index in (0, 1)]))


def test_cached_flow_is_read_as_ever(tmp_path: Path) -> None:
    cache = open_flow_cache(tmp_path / "flow", FLOW, tmp_path, create=True)
    extract(make_plan([CLIPS[0].source], cache), cache, FLOW, num_workers=0)
    (cached,) = with_cached_flow(CLIPS[:1], cache)
    read = read_clip(cached, FLOW)
    assert read.dtype == torch.float16 and make_images(cached, read, FLOW) is read
    assert torch.equal(read, load_images(cached, FLOW))


def test_a_clip_that_flow_refuses_is_an_error_of_its_own() -> None:
    small = clip(0, SyntheticSource("a", ("DOG",), "statement", 0, (0, 0), (6, 40)))
    dataset = ClipDataset([small, CLIPS[0]], FLOW, device=CPU)
    (batch,) = batches(dataset, WORDS, batch_size=2)
    assert batch.clips == (CLIPS[0],)
    assert "found frames of 6x40 pixels" in str(batch.errors[0])


def test_too_little_memory_is_told(monkeypatch) -> None:
    def full(*_, **__) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("slt_fast.data.loading.clip_images", full)
    dataset = ClipDataset(CLIPS[:2], FLOW, device=CPU)
    total = sum(len(clip.source.read()) for clip in CLIPS[:2])
    message = f"clips clip-0, clip-1: found {total} frames, more than the memory of cpu holds"
    with pytest.raises(ValueError, match=message):
        list(batches(dataset, WORDS, batch_size=2))
