"""From clips to batches: images loaded or preloaded, augmented, tokenised and packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from slt_fast.data.augmentation import AugmentationConfig, augment
from slt_fast.data.clip import Clip, minimum_ctc_frames
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import make_images, read_clip
from slt_fast.data.vocabulary import BOS, EOS, GLOSS_SPECIALS, PAD, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError


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
        images: float32 [sum(T), 3, H, W] in [0, 1], on the dataset's device or the CPU; as
            `collate` makes it, float16 where no clip was augmented.
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


def _generator(*seeds: int) -> torch.Generator:
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class ClipDataset(Dataset):
    """Images of clips by (epoch, index), augmented the same way whenever that pair is asked for.

    Args:
        clips: The clips.
        config: What their images are.
        preloaded: What `preload` gave for them.
        augmentation: Random changes; None leaves the images as they are.
        seed: Of the augmentation.
        device: Where frames become images, as flow_device tells: in the process that asks `batches`
            for them. None is where clips are read, in the loading processes.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        config: InputConfig,
        *,
        preloaded: Sequence[torch.Tensor] | None = None,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.clips, self.config, self.preloaded = clips, config, preloaded
        self.augmentation, self.seed, self.device = augmentation, seed, device

    def __len__(self) -> int:
        return len(self.clips)

    def num_workers(self, wanted: int) -> int:
        """Loading processes that are of use: none if the images are in memory."""
        return 0 if self.preloaded else wanted

    def __getitem__(self, key: tuple[int, int]) -> tuple:
        """A clip and its images or error; with a device, what `finish` makes them of."""
        index = key[1]
        read = (
            self.preloaded[index] if self.preloaded else read_clip(self.clips[index], self.config)
        )
        return (key, read) if self.device else self.finish(key, read)

    def finish(
        self, key: tuple[int, int], read: torch.Tensor | DataError
    ) -> tuple[Clip, torch.Tensor | DataError]:
        """The images of a clip, from what was read of it."""
        epoch, index = key
        clip = self.clips[index]
        images = make_images(clip, read, self.config, self.device or "cpu")
        if isinstance(images, DataError):
            return clip, images
        images = images.to(self.device or "cpu")
        if self.augmentation is None:
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
        collate_fn=list if dataset.device else partial(collate, vocabularies=vocabularies),
    )
    if dataset.device:
        loader = (_finished(dataset, items, vocabularies) for items in loader)
    # Only here: float16 takes half the memory that the processes share.
    return (replace(batch, images=batch.images.float()) for batch in loader)


def _finished(
    dataset: ClipDataset,
    items: Sequence[tuple[tuple[int, int], torch.Tensor | DataError]],
    vocabularies: Vocabularies,
) -> Batch:
    """A batch whose images are made here, on the dataset's device."""
    try:
        return collate([dataset.finish(*item) for item in items], vocabularies)
    except torch.OutOfMemoryError as error:
        clips = [dataset.clips[index] for (_, index), _ in items]
        num_frames = sum(len(read) for _, read in items if not isinstance(read, DataError))
        raise ValueError(too_many_frames(clips, num_frames, dataset.device)) from error


def too_many_frames(clips: Sequence[Clip], num_frames: int, device: torch.device) -> str:
    """What to say when a batch needs more memory than there is."""
    names = ", ".join(clip.id for clip in clips)
    return (
        f"clips {names}: found {num_frames} frames, more than the memory of {device} holds; "
        "expected fewer, a smaller --image-size or --batch-size, or --device cpu"
    )


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
