import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.data.augmentation import AugmentationConfig
from slt_fast.data.batching import Batch, BatchMaker, Readings, Vocabularies, batches
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset, count_frames, keep_good, load_images, preload
from slt_fast.data.probes import BlankSource
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, UserError

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

    def frames(self) -> Iterator[np.ndarray]:
        return iter(self.read())

    def num_frames(self) -> int:
        return self.length

    def estimated_frames(self) -> int:
        return self.length


def clip(number: int, text="a b", glosses=("A",), source=None) -> AnnotatedClip:
    source = source or Grey(10 * number, 3 + number)
    return AnnotatedClip(f"clip-{number}", source, text, glosses, "x", "train", f"list:{number}")


CLIPS = [
    clip(0, "Red blue", ("RED", "BLUE")),
    clip(1, "blue .", None),
    clip(2, "red red green", ("RED", "RED")),
    clip(3, "blue", ("BLUE",)),
    clip(4, "green", ("GREEN",)),
]
WORDS = Vocabularies.build(CLIPS)


def maker(config: InputConfig = RGB, **options) -> BatchMaker:
    return BatchMaker(WORDS, config, **options)


def images_of(dataset: ClipDataset, epoch: int, index: int, **options) -> torch.Tensor:
    return maker(**options).images(Readings(dataset)[epoch, index])


def levels(batch: Batch) -> list[int]:
    """Grey level of each frame."""
    return (batch.images[:, 0, 0, 0] * 255).round().long().tolist()


def test_vocabularies_are_lower_case_and_take_clips_without_glosses() -> None:
    assert WORDS.text.words == ("blue", "red", "green", ".")
    assert WORDS.gloss.words == ("RED", "BLUE", "GREEN")


def test_collate_packs_and_tokenises() -> None:
    readings = Readings(ClipDataset(CLIPS[:3]))
    batch = maker()([readings[0, index] for index in range(3)])
    assert batch.images.shape == (12, 3, 32, 32)
    assert batch.images.dtype == torch.float16  # what worker processes send
    (found,) = batches(ClipDataset(CLIPS[:3]), maker(), [[0, 1, 2]])
    assert found.images.dtype == torch.float32 and torch.equal(found.images.half(), batch.images)
    assert batch.lengths.tolist() == [3, 4, 5]
    assert levels(batch) == [0] * 3 + [10] * 4 + [20] * 5
    assert batch.glosses.tolist() == [[2, 3], [0, 0], [2, 2]]
    assert batch.gloss_lengths.tolist() == [2, 0, 2]
    assert batch.text.tolist() == [[1, 5, 4, 2, 0], [1, 4, 7, 2, 0], [1, 5, 5, 6, 2]]
    assert batch.clips == tuple(CLIPS[:3]) and not batch.errors


def test_unknown_words_and_glosses() -> None:
    batch = maker()([Readings(ClipDataset([clip(0, "purple", ("PURPLE", "RED"))]))[0, 0]])
    assert batch.text.tolist() == [[1, 3, 2]] and batch.glosses.tolist() == [[1, 2]]


def test_batches_are_those_of_the_groups() -> None:
    groups = [[3, 1], [0], [4, 2, 1]]
    found = batches(ClipDataset(CLIPS), maker(), groups)
    assert [[CLIPS.index(clip) for clip in batch.clips] for batch in found] == groups
    assert not list(batches(ClipDataset(CLIPS), maker(), []))


def test_batches_leave_the_global_generator_alone() -> None:
    """Else the dropout of a run that resumes within an epoch would differ."""
    before = torch.get_rng_state()
    augmenting = maker(augmentation=AugmentationConfig(zoom=0.1, shift=0.1))
    assert len(list(batches(ClipDataset(CLIPS), augmenting, [[0, 4], [2, 3], [1]]))) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_is_a_function_of_seed_epoch_and_clip() -> None:
    source = SyntheticSource("a", ("MOTHER", "SLEEP"), "statement", 0, (0, 1), (48, 48))
    same = ClipDataset([clip(0, source=source), clip(1, source=source)])
    options = {"augmentation": AugmentationConfig(shift=0.2), "seed": 3}
    image = images_of(same, 1, 0, **options)
    assert torch.equal(images_of(same, 1, 0, **options), image)
    assert not torch.equal(images_of(same, 2, 0, **options), image)
    assert not torch.equal(images_of(same, 1, 1, **options), image)
    assert not torch.equal(images_of(same, 1, 0, **{**options, "seed": 4}), image)


def test_augmentation_leaves_what_ctc_needs() -> None:
    tight = ClipDataset([clip(0, glosses=("A", "A"), source=Grey(9, 3))])
    options = {"augmentation": AugmentationConfig(frame_dropout=0.5)}
    assert {len(images_of(tight, epoch, 0, **options)) for epoch in range(20)} == {3}


def test_preloaded_images_are_not_loaded_again_and_stay_as_they_are() -> None:
    images = preload(CLIPS, RGB, num_workers=0, label="x")
    gone = [replace(clip, source=VideoSource("nowhere")) for clip in CLIPS]
    dataset = ClipDataset(gone, images)
    kept = [image.clone() for image in images]
    assert dataset[2] is images[2]
    options = {"augmentation": AugmentationConfig(zoom=0.2, shift=0.1)}
    assert len(images_of(dataset, 0, 2, **options)) == 5
    assert all(map(torch.equal, images, kept))
    assert dataset.num_workers(2) == 0 and ClipDataset(CLIPS).num_workers(2) == 2


def bad_clips() -> list[AnnotatedClip]:
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
def test_a_bad_clip_is_an_error_that_names_it(clip: AnnotatedClip, message: str) -> None:
    error = maker(FLOW).images(Readings(ClipDataset([clip]))[0, 0])
    assert isinstance(error, DataError)
    assert str(error).startswith(message)


@dataclass(frozen=True)
class Unreadable(Grey):
    """A source whose reading fails in a way that no reader foresees."""

    error: Exception | None = None

    def read(self) -> np.ndarray:
        raise self.error

    num_frames = read


@dataclass(frozen=True)
class WrongShape(Grey):
    """A source that breaks its contract: [T, C, H, W, 3]."""

    def read(self) -> np.ndarray:
        return super().read()[:, None]


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
    readings = Readings(ClipDataset([unreadable]))
    for found in (readings[0, 0].read, count_frames(unreadable)):
        assert isinstance(found, DataError) and str(found).startswith(message)
    with pytest.raises(type(error), match=str(error.strerror or error)):
        load_images(unreadable, FLOW)


@pytest.mark.parametrize(
    ("where", "num_workers"),
    [
        ("read", 0),
        ("read", 1),
        ("images", 0),
        ("preload", 0),
        ("preload", 1),
        pytest.param("images", 1, marks=pytest.mark.slow),
    ],
)
def test_a_defect_raises_with_its_traceback(num_workers: int, where: str) -> None:
    """Also from a worker, although errors of clips are only listed there."""
    broken = clip(5, source=Unreadable(1, error=ValueError("a defect of ours")))
    if where == "images":
        broken = clip(5, source=WrongShape(1))
    with pytest.raises((ValueError, RuntimeError)) as caught:
        if where == "preload":
            preload([CLIPS[0], broken], RGB, num_workers=num_workers, label="x")
        else:
            dataset = ClipDataset([CLIPS[0], broken])
            list(batches(dataset, maker(), [[0, 1]], num_workers=num_workers))
    printed = "".join(traceback.format_exception(caught.value))
    assert ("in image_parts" if where == "images" else "in read\n") in printed
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_frames_that_are_no_files_are_named(tmp_path: Path, num_workers: int) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "6" / "folder.png").mkdir(parents=True)
    bad = [clip(number, source=VideoSource(tmp_path / str(number))) for number in (5, 6)]
    dataset = ClipDataset([CLIPS[0], *bad])
    (batch,) = batches(dataset, maker(FLOW), [[0, 1, 2]], num_workers=num_workers)
    assert batch.clips == (CLIPS[0],)
    first, second = map(str, batch.errors)
    assert "link.png: found No such file or directory; expected a file that can be read" in first
    assert "6: found no images; expected a folder of png or jpg frames" in second


def test_bad_clips_are_listed_beside_the_batch() -> None:
    dataset = ClipDataset([CLIPS[0], *bad_clips(), CLIPS[3]])
    first, second = batches(dataset, maker(FLOW), [[0, 1, 2, 3], [4]])
    assert [str(error)[:8] for error in first.errors] == [message[:8] for message in MESSAGES]
    assert first.clips == (CLIPS[0],) and first.lengths.tolist() == [3]
    assert second.clips == (CLIPS[3],) and not second.errors
    (empty,) = batches(ClipDataset(bad_clips()), maker(FLOW), [[0, 1, 2]])
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
    dataset, augmenting = (
        ClipDataset(clips),
        maker(FLOW, augmentation=AugmentationConfig(shift=0.1)),
    )
    here, there = (
        list(batches(dataset, augmenting, [[2, 0], [1]], num_workers=number, epoch=1))
        for number in (0, 1)
    )
    for first, second in zip(here, there, strict=True):
        assert first.clips == second.clips
        assert torch.equal(first.images, second.images) and torch.equal(first.text, second.text)
        assert list(map(str, first.errors)) == list(map(str, second.errors))


def still_clip(source: SyntheticSource) -> AnnotatedClip:
    """A clip in which nothing moves; readable, but empty."""
    return clip(1, source=BlankSource(source))
