"""From clips to batches: images computed or preloaded, augmented, tokenised and packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from slt_fast.data.augmentation import AugmentationConfig, augment
from slt_fast.data.clip import Clip, check_ctc_length, minimum_ctc_frames
from slt_fast.data.errors import DataError, ErrorHandler, Result, report, result_or_error
from slt_fast.data.flow_image import encode_flow
from slt_fast.data.input import InputConfig, clip_images
from slt_fast.data.vocabulary import BOS, EOS, GLOSS_SPECIALS, PAD, TEXT_SPECIALS, Vocabulary
from slt_fast.data.workers import in_processes


@dataclass(frozen=True)
class Vocabularies:
    """Words of the text and glosses; both built from the training split alone."""

    text: Vocabulary
    gloss: Vocabulary

    @classmethod
    def build(cls, clips: Sequence[Clip]) -> Vocabularies:
        """The vocabularies of training clips."""
        return cls(
            Vocabulary.build([clip.text.lower() for clip in clips], TEXT_SPECIALS),
            Vocabulary.build([clip.glosses or () for clip in clips], GLOSS_SPECIALS),
        )


@dataclass(frozen=True)
class Batch:
    """Clips of one training or scoring step; B clips, images packed one clip after the other.

    Args:
        clips: The B clips.
        images: float32 [sum(T), 3, H, W] in [0, 1]; as `collate` makes it, float16 where no clip
            was augmented.
        lengths: int64 [B], frames of each clip.
        glosses: int64 [B, longest], padded with 0.
        gloss_lengths: int64 [B]; 0 for a clip without glosses.
        text: int64 [B, S], from <bos> to <eos>, padded with 0.
        errors: Clips that could not be read and are not in the batch.
    """

    clips: tuple[Clip, ...]
    images: torch.Tensor
    lengths: torch.Tensor
    glosses: torch.Tensor
    gloss_lengths: torch.Tensor
    text: torch.Tensor
    errors: tuple[DataError, ...] = ()


def load_images(clip: Clip, config: InputConfig) -> torch.Tensor | DataError:
    """Images of a clip, float16 [T, 3, H, W]; or what is wrong with it, to be raised or listed.

    Args:
        clip: The clip; its flow is read where it is cached, and computed elsewhere.
        config: What its images are.
    """
    # OpenCV's own threads deadlock after a fork and only fight over the cores with the workers.
    cv2.setNumThreads(0)

    def images() -> torch.Tensor:
        if clip.cached_flow is None:
            frames = clip.source.read()
            check_ctc_length(clip, len(frames))
            return clip_images(frames, config).half()
        flow = clip.cached_flow.read()
        check_ctc_length(clip, len(flow))
        return encode_flow(flow, encoder=config.flow_encoder, bound=config.flow_bound).half()

    return result_or_error(clip.source.name, images)


def count_frames(clip: Clip) -> int | DataError:
    """Frames of a clip, found without decoding them where that can be; or what is wrong with it."""

    def num_frames() -> int:
        cached = clip.cached_flow
        found = clip.source.num_frames() if cached is None else cached.num_frames
        check_ctc_length(clip, found)
        return found

    return result_or_error(clip.source.name, num_frames)


def preload(
    clips: Sequence[Clip], config: InputConfig, *, num_workers: int, label: str
) -> list[torch.Tensor | DataError]:
    """Computes the images of all clips in worker processes, with a progress bar.

    Args:
        clips: The clips.
        config: What their images are.
        num_workers: Processes; 0 computes here.
        label: Name on the progress bar.
    """
    work = partial(load_images, config=config)
    return list(in_processes(work, clips, num_workers=num_workers, label=label))


def _generator(*seeds: int) -> torch.Generator:
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class ClipDataset(Dataset):
    """Images of clips by (epoch, index), augmented the same way whenever that pair is asked for."""

    def __init__(
        self,
        clips: Sequence[Clip],
        config: InputConfig,
        *,
        preloaded: Sequence[torch.Tensor] | None = None,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.clips, self.config, self.preloaded = clips, config, preloaded
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        return len(self.clips)

    def num_workers(self, wanted: int) -> int:
        """Loading processes that are of use: none if the images are in memory."""
        return 0 if self.preloaded else wanted

    def __getitem__(self, key: tuple[int, int]) -> tuple[Clip, torch.Tensor | DataError]:
        epoch, index = key
        clip = self.clips[index]
        images = self.preloaded[index] if self.preloaded else load_images(clip, self.config)
        if isinstance(images, DataError) or self.augmentation is None:
            return clip, images
        generator = _generator(self.seed, epoch, index)
        minimum = minimum_ctc_frames(clip.glosses or ())
        return clip, augment(
            images.float(),
            self.augmentation,
            self.config,
            minimum_frames=minimum,
            generator=generator,
        )


def batches(
    dataset: ClipDataset,
    vocabularies: Vocabularies,
    *,
    batch_size: int,
    num_workers: int = 0,
    shuffle_epoch: int | None = None,
    skip: int = 0,
) -> Iterator[Batch]:
    """The batches of one pass.

    Args:
        dataset: The clips.
        vocabularies: Of the training split.
        batch_size: Clips a batch.
        num_workers: Loading processes; 0 loads here.
        shuffle_epoch: Epoch whose random order (a function of the dataset's seed and this number)
            is used; None keeps the order of the clips.
        skip: Batches to leave out at the start, to go on in the middle of an epoch.
    """
    order = list(range(len(dataset)))
    if shuffle_epoch is not None:
        generator = _generator(dataset.seed, shuffle_epoch)
        order = torch.randperm(len(dataset), generator=generator).tolist()
    keys = [(shuffle_epoch or 0, index) for index in order[skip * batch_size :]]
    loader = DataLoader(
        dataset,
        sampler=keys,
        batch_size=batch_size,
        num_workers=num_workers,
        multiprocessing_context="spawn" if num_workers else None,
        # Else it draws from the global generator, and a resumed run would drop out others.
        generator=torch.Generator(),
        collate_fn=partial(collate, vocabularies=vocabularies),
    )
    # Only here: float16 takes half the memory that the processes share.
    return (replace(batch, images=batch.images.float()) for batch in loader)


def collate(
    items: Sequence[tuple[Clip, torch.Tensor | DataError]], vocabularies: Vocabularies
) -> Batch:
    """Packs and tokenises clips; those with an error are only listed."""
    errors = tuple(images for _, images in items if isinstance(images, DataError))
    good = [(clip, images) for clip, images in items if not isinstance(images, DataError)]
    if not good:
        empty = torch.zeros(0, dtype=torch.long)
        none = torch.zeros(0, 0, dtype=torch.long)
        return Batch((), torch.zeros(0, 3, 1, 1), empty, none, empty, none, errors)
    clips, images = zip(*good, strict=True)
    glosses = [_tokens(vocabularies.gloss, clip.glosses or ()) for clip in clips]
    text = [_tokens(vocabularies.text, clip.text.lower(), BOS, EOS) for clip in clips]
    return Batch(
        clips,
        torch.cat(images),
        torch.tensor([len(frames) for frames in images]),
        pad_sequence(glosses, batch_first=True),
        torch.tensor([len(tokens) for tokens in glosses]),
        pad_sequence(text, batch_first=True, padding_value=PAD),
        errors,
    )


def _tokens(vocabulary: Vocabulary, sequence: str | Sequence[str], *ends: int) -> torch.Tensor:
    numbers = vocabulary.encode(sequence)
    return torch.tensor([*ends[:1], *numbers, *ends[1:]], dtype=torch.long)


def keep_good(
    clips: Sequence[Clip],
    loaded: Sequence[Result | DataError],
    on_error: ErrorHandler | None,
) -> tuple[list[Clip], list[Result]]:
    """The clips that could be read, and what was read of them.

    Args:
        clips: The clips.
        loaded: What `preload` or `count_frames` gave for them.
        on_error: Called with each error; None raises the first.
    """
    good_clips, good = [], []
    for clip, result in zip(clips, loaded, strict=True):
        if isinstance(result, DataError):
            report(result, on_error)
        else:
            good_clips.append(clip)
            good.append(result)
    return good_clips, good
