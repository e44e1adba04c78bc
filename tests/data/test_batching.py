from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import Batch, ClipDataset, Vocabularies, batches, collate
from slt_fast.data.clip import Clip
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import count_frames, keep_good, load_images, preload
from slt_fast.data.probes import BlankSource
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

RGB = InputConfig(input="rgb", image_size=32)
FLOW = InputConfig(image_size=32, flow_preset="fast")


@dataclass(frozen=True)
class Grey:
    """Frames of one grey level."""

    level: int
    length: int = 3
    size: tuple[int, int] = (32, 32)
    name: str = "grey"

    def read(self) -> np.ndarray:
        return np.full((self.length, *self.size, 3), self.level, np.uint8)

    def num_frames(self) -> int:
        return self.length


def clip(number: int, text="a b", glosses=("A",), source=None) -> Clip:
    source = source or Grey(10 * number, 3 + number)
    return Clip(f"clip-{number}", source, text, glosses, "x", "train", f"list:{number}")


CLIPS = [
    clip(0, "Red blue", ("RED", "BLUE")),
    clip(1, "blue .", None),
    clip(2, "red red green", ("RED", "RED")),
    clip(3, "blue", ("BLUE",)),
    clip(4, "green", ("GREEN",)),
]
WORDS = Vocabularies.build(CLIPS)


def levels(batch: Batch) -> list[int]:
    """Grey level of each frame."""
    return (batch.images[:, 0, 0, 0] * 255).round().long().tolist()


def test_vocabularies_are_lower_case_and_take_clips_without_glosses() -> None:
    assert WORDS.text.words == ("blue", "red", "green", ".")
    assert WORDS.gloss.words == ("RED", "BLUE", "GREEN")


def test_collate_packs_and_tokenises() -> None:
    dataset = ClipDataset(CLIPS[:3], RGB)
    batch = collate([dataset[0, index] for index in range(3)], WORDS)
    assert batch.images.shape == (12, 3, 32, 32)
    assert batch.images.dtype == torch.float16  # what worker processes send
    (loaded,) = batches(dataset, WORDS, batch_size=3)
    assert loaded.images.dtype == torch.float32 and torch.equal(loaded.images.half(), batch.images)
    assert batch.lengths.tolist() == [3, 4, 5]
    assert levels(batch) == [0] * 3 + [10] * 4 + [20] * 5
    assert batch.glosses.tolist() == [[2, 3], [0, 0], [2, 2]]
    assert batch.gloss_lengths.tolist() == [2, 0, 2]
    assert batch.text.tolist() == [[1, 5, 4, 2, 0], [1, 4, 7, 2, 0], [1, 5, 5, 6, 2]]
    assert batch.clips == tuple(CLIPS[:3]) and not batch.errors


def test_unknown_words_and_glosses() -> None:
    item = ClipDataset([clip(0, "purple", ("PURPLE", "RED"))], RGB)[0, 0]
    batch = collate([item], WORDS)
    assert batch.text.tolist() == [[1, 3, 2]] and batch.glosses.tolist() == [[1, 2]]


def test_batches_in_order_and_shuffled() -> None:
    dataset = ClipDataset(CLIPS, RGB, seed=1)

    def order(**options) -> list[str]:
        found = batches(dataset, WORDS, batch_size=2, **options)
        return [clip.id for batch in found for clip in batch.clips]

    names = [clip.id for clip in CLIPS]
    assert order() == names
    shuffles = [order(shuffle_epoch=epoch) for epoch in range(6)]
    assert all(sorted(shuffle) == names for shuffle in shuffles)
    assert len(set(map(tuple, shuffles))) > 3
    assert order(shuffle_epoch=4) == shuffles[4]
    assert order(shuffle_epoch=4, skip=1) == shuffles[4][2:]
    assert order(shuffle_epoch=4, skip=3) == []


def test_batches_leave_the_global_generator_alone() -> None:
    """Else the dropout of a run that resumes within an epoch would differ."""
    before = torch.get_rng_state()
    dataset = ClipDataset(CLIPS, RGB, augmentation=AugmentationConfig(zoom=0.1, shift=0.1))
    assert len(list(batches(dataset, WORDS, batch_size=2, shuffle_epoch=0))) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_is_a_function_of_seed_epoch_and_clip() -> None:
    source = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", 0, (0, 1), (48, 48))
    same = [clip(0, source=source), clip(1, source=source)]
    augmentation = AugmentationConfig(shift=0.2)
    dataset = ClipDataset(same, RGB, augmentation=augmentation, seed=3)
    image = dataset[1, 0][1]
    assert torch.equal(dataset[1, 0][1], image)
    assert not torch.equal(dataset[2, 0][1], image)
    assert not torch.equal(dataset[1, 1][1], image)
    other = ClipDataset(same, RGB, augmentation=augmentation, seed=4)
    assert not torch.equal(other[1, 0][1], image)


def test_augmentation_leaves_what_ctc_needs() -> None:
    tight = clip(0, glosses=("A", "A"), source=Grey(9, 3))
    dataset = ClipDataset([tight], RGB, augmentation=AugmentationConfig(frame_dropout=0.5))
    assert {len(dataset[epoch, 0][1]) for epoch in range(20)} == {3}


def test_preloaded_images_are_not_loaded_again_and_stay_as_they_are() -> None:
    images = preload(CLIPS, RGB, num_workers=0, label="x")
    gone = [replace(clip, source=VideoSource("nowhere")) for clip in CLIPS]
    dataset = ClipDataset(
        gone, RGB, preloaded=images, augmentation=AugmentationConfig(zoom=0.2, shift=0.1)
    )
    kept = [image.clone() for image in images]
    assert len(dataset[0, 2][1]) == 5
    assert all(map(torch.equal, images, kept))
    assert dataset.num_workers(2) == 0 and ClipDataset(CLIPS, RGB).num_workers(2) == 2


def bad_clips() -> list[Clip]:
    return [
        clip(5, source=VideoSource("missing.mp4")),
        clip(6, glosses=("A", "A", "B"), source=Grey(1, 3)),
        clip(7, source=Grey(1, 3, (6, 40), "small")),
    ]


MESSAGES = [
    "missing.mp4: found no such file; expected a video file",
    "list:6: found 3 frames in clip 'clip-6'; expected at least 4, as CTC needs for 3 glosses",
    "small: found optical_flow: found frames of 6x40 pixels",
]


@pytest.mark.parametrize(("clip", "message"), list(zip(bad_clips(), MESSAGES, strict=True)))
def test_a_bad_clip_is_an_error_that_names_it(clip: Clip, message: str) -> None:
    error = load_images(clip, FLOW)
    assert isinstance(error, DataError)
    assert str(error).startswith(message)


@dataclass(frozen=True)
class Unreadable(Grey):
    """A source whose reading fails in a way that no reader foresees."""

    error: Exception | None = None

    def read(self) -> np.ndarray:
        raise self.error

    num_frames = read


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(13, "Permission denied", "a.png"),
            "a.png: found Permission denied; expected a file that can be read",
        ),
        (OSError("no more"), "grey: found no more; expected a file that can be read"),
    ],
)
def test_files_that_cannot_be_read_are_errors_of_their_clip(error, message: str) -> None:
    unreadable = clip(5, source=Unreadable(1, error=error))
    for found in (load_images(unreadable, FLOW), count_frames(unreadable)):
        assert isinstance(found, DataError) and str(found).startswith(message)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_frames_that_are_no_files_are_named(tmp_path: Path, num_workers: int) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "6" / "folder.png").mkdir(parents=True)
    bad = [clip(number, source=VideoSource(tmp_path / str(number))) for number in (5, 6)]
    dataset = ClipDataset([CLIPS[0], *bad], FLOW)
    (batch,) = batches(dataset, WORDS, batch_size=3, num_workers=num_workers)
    assert batch.clips == (CLIPS[0],)
    first, second = map(str, batch.errors)
    assert "link.png: found No such file or directory; expected a file that can be read" in first
    assert "folder.png: found Is a directory; expected a file that can be read" in second


def test_bad_clips_are_listed_beside_the_batch() -> None:
    dataset = ClipDataset([CLIPS[0], *bad_clips(), CLIPS[3]], FLOW)
    first, second = batches(dataset, WORDS, batch_size=4)
    assert [str(error)[:8] for error in first.errors] == [message[:8] for message in MESSAGES]
    assert first.clips == (CLIPS[0],) and first.lengths.tolist() == [3]
    assert second.clips == (CLIPS[3],) and not second.errors
    (empty,) = batches(ClipDataset(bad_clips(), FLOW), WORDS, batch_size=4)
    assert not empty.clips and not len(empty.images) and len(empty.errors) == 3


def test_keep_good_raises_or_reports() -> None:
    clips = [CLIPS[0], *bad_clips()[:2], CLIPS[3]]
    images = preload(clips, RGB, num_workers=0, label="x")
    with pytest.raises(DataError, match=r"missing\.mp4"):
        keep_good(clips, images, None)
    errors: list[DataError] = []
    kept, kept_images = keep_good(clips, images, errors.append)
    assert kept == [CLIPS[0], CLIPS[3]] and [len(image) for image in kept_images] == [3, 6]
    assert len(errors) == 2


def test_worker_processes_give_the_same() -> None:
    source = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", 0, (0, 1), (48, 48))
    clips = [clip(0, source=source), still_clip(source), clip(5, source=VideoSource("missing.mp4"))]
    here, there = (preload(clips, FLOW, num_workers=number, label="x") for number in (0, 1))
    assert torch.equal(here[0], there[0]) and torch.equal(here[1], there[1])
    assert here[0].dtype == torch.float16
    assert isinstance(there[2], DataError) and str(there[2]) == str(here[2])
    dataset = ClipDataset(clips, FLOW, augmentation=AugmentationConfig(shift=0.1))
    here, there = (
        list(batches(dataset, WORDS, batch_size=2, num_workers=number, shuffle_epoch=1))
        for number in (0, 1)
    )
    for first, second in zip(here, there, strict=True):
        assert first.clips == second.clips
        assert torch.equal(first.images, second.images) and torch.equal(first.text, second.text)
        assert list(map(str, first.errors)) == list(map(str, second.errors))


def still_clip(source: SyntheticSource) -> Clip:
    """A clip in which nothing moves; readable, but empty."""
    return clip(1, source=BlankSource(source))
