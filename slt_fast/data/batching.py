"""Makes batches of what was read of clips: images or glosses, augmentation, tokens, packing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from slt_fast.data.augmentation import AugmentationConfig, augment
from slt_fast.data.clip import AnnotatedClip, Clip, minimum_ctc_frames
from slt_fast.data.flow_images import Frames
from slt_fast.data.glosses import Glosses, drop_glosses, gloss_numbers
from slt_fast.data.input import InputConfig
from slt_fast.data.loader_processes import InSharedMemory, checked
from slt_fast.data.loading import ClipDataset, images_or_error, tensors_of
from slt_fast.data.packing import seeded_generator
from slt_fast.data.text import TextConfig, TextUnits
from slt_fast.data.vocabulary import BOS, EOS, GLOSS_SPECIALS, PAD, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError, UserError, is_out_of_memory, result_or_error
from slt_fast.workers import begin_worker


@dataclass(frozen=True)
class Vocabularies:
    """Words of the text and glosses, both from the training split alone."""

    text: Vocabulary
    gloss: Vocabulary
    units: TextUnits = TextUnits()  # of the text

    @classmethod
    def build(
        cls, clips: Sequence[AnnotatedClip], config: TextConfig | None = None
    ) -> Vocabularies:
        """Builds the vocabularies of training clips; the config of their texts is None for words.

        Raises:
            UserError: There are fewer subwords than the texts have characters.
        """
        units = TextUnits.learn(config or TextConfig(), [clip.text for clip in clips])
        return cls(
            Vocabulary.build([units.split(clip.text) for clip in clips], TEXT_SPECIALS),
            Vocabulary.build([clip.glosses or () for clip in clips], GLOSS_SPECIALS),
            units,
        )

    def encode_text(self, text: str) -> list[int]:
        """Returns the numbers of a text's tokens, without specials."""
        return self.text.encode(self.units.split(text))

    def decode_text(self, numbers: Iterable[int]) -> str:
        """Returns the text of the numbers up to the first "<eos>"."""
        return self.units.join(self.text.decode(numbers).split())


@dataclass(frozen=True)
class PackedClips:
    """Images of B clips, packed one clip after the other; or their glosses, if these are the input.

    Args:
        clips: The B clips.
        images: float32 or float16 [sum(T), 3, H, W] in [0, 1]; of glosses int64 [sum(T)], numbers.
        lengths: int64 [B], frames or glosses of each clip.
    """

    clips: tuple[Clip, ...]
    images: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True)
class Batch(PackedClips):
    """Clips of one training or scoring step, with their annotation as tokens.

    The images are on the maker's device or the CPU. Between a worker and its reader they are
    float16, unless they were augmented.

    Args:
        glosses: int64 [B, longest], glosses to recognise, padded with 0.
        gloss_lengths: int64 [B]; 0 for a clip without glosses, and for all if these are the input.
        text: int64 [B, S], from <bos> to <eos>, padded with 0.
        errors: Clips that could not be read and are not in the batch.
        is_good: For each clip that was asked for, in order, whether it is in the batch.
    """

    clips: tuple[AnnotatedClip, ...]
    glosses: torch.Tensor
    gloss_lengths: torch.Tensor
    text: torch.Tensor
    errors: tuple[DataError, ...] = ()
    is_good: tuple[bool, ...] = ()


class Reading(NamedTuple):
    """What was read of a clip, on its way into a batch.

    Args:
        clip: The clip.
        read: What ClipDataset returned, or the clip's error.
        key: Epoch and number of the clip; with the seed they determine its augmentation.
    """

    clip: AnnotatedClip
    read: Frames | Glosses | torch.Tensor | DataError
    key: tuple[int, int]


class Readings(Dataset[Reading]):
    """The readings of a dataset by (epoch, number); errors of clips become values here."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Reading:
        clip = self.dataset.clips[key[1]]
        read = result_or_error(clip.source.name, lambda: self.dataset.in_epoch(*key))
        return Reading(clip, read, key)


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches: the same batch whenever it is asked for the same clips of the same epoch.

    Args:
        vocabularies: Vocabularies of the training split.
        config: Settings of the input.
        augmentation: Random changes; None leaves the input as it is.
        seed: Seed of the order and the augmentation.
        device: GPU that makes the images, from flow_device, in the process that asks for batches.
            None makes them in the workers, on the CPU.
    """

    vocabularies: Vocabularies
    config: InputConfig
    augmentation: AugmentationConfig | None = None
    seed: int = 0
    device: torch.device | None = None

    def __call__(self, readings: Sequence[Reading]) -> Batch:
        """Makes images, augments, tokenises and packs; clips with an error are only listed.

        Raises:
            UserError: The images do not fit into the memory.
        """
        try:
            return self._pack([(reading.clip, self.images(reading)) for reading in readings])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            clips = [reading.clip for reading in readings]
            total = sum(len(item.read) for item in readings if not isinstance(item.read, DataError))
            message = too_many_frames(clips, total, self.device or torch.device("cpu"))
            raise UserError(message) from error

    def images(self, reading: Reading) -> torch.Tensor | DataError:
        """Makes the images of one clip, augmented in float32; or returns its error.

        Of glosses it returns the numbers.
        """
        clip, read, key = reading
        if isinstance(read, Glosses):
            numbers = gloss_numbers(read.names, self.vocabularies.gloss)
            share = self.augmentation.gloss_dropout if self.augmentation else 0.0
            generator = seeded_generator(self.seed, *key)
            return drop_glosses(numbers, share, generator) if share else numbers
        images = images_or_error(clip, read, self.config, self.device or "cpu")
        if self.augmentation is None or isinstance(images, DataError):
            return images
        return augment(
            images.float(),
            self.augmentation,
            self.config,
            minimum_frames=minimum_ctc_frames(clip.glosses or ()),
            generator=seeded_generator(self.seed, *key),
        )

    def _pack(self, items: Sequence[tuple[AnnotatedClip, torch.Tensor | DataError]]) -> Batch:
        errors = tuple(images for _, images in items if isinstance(images, DataError))
        good = [(clip, images) for clip, images in items if not isinstance(images, DataError)]
        is_good = tuple(not isinstance(images, DataError) for _, images in items)
        if not good:
            empty = torch.zeros(0, dtype=torch.long)
            none = torch.zeros(0, 0, dtype=torch.long)
            return Batch((), torch.zeros(0, 3, 1, 1), empty, none, empty, none, errors, is_good)
        words, recognises = self.vocabularies, self.config.has_images
        signed = [(clip.glosses or ()) if recognises else () for clip, _ in good]
        glosses = [gloss_numbers(names, words.gloss) for names in signed]
        text = [torch.tensor([BOS, *words.encode_text(clip.text), EOS]) for clip, _ in good]
        return Batch(
            tuple(clip for clip, _ in good),
            torch.cat([images for _, images in good]),
            torch.tensor([len(images) for _, images in good]),
            pad_sequence(glosses, batch_first=True),
            torch.tensor([len(tokens) for tokens in glosses]),
            pad_sequence(text, batch_first=True, padding_value=PAD),
            errors,
            is_good,
        )


def batches(
    dataset: ClipDataset,
    maker: BatchMaker,
    groups: Iterable[Sequence[int]],
    *,
    num_workers: int = 0,
    epoch: int = 0,
) -> Iterator[Batch]:
    """Yields a batch of each group of clips.

    Args:
        dataset: The clips.
        maker: Makes the batches: in the workers, or here if it has a device.
        groups: Numbers of the clips of each batch.
        num_workers: Number of worker processes; 0 reads in this one.
        epoch: Epoch of the clips' random changes.
    """
    keys = [[(epoch, index) for index in group] for group in groups]
    make: Callable = list if maker.device else maker
    tensors = _read_tensors if maker.device else _batch_tensors
    loader: Iterable = DataLoader(
        Readings(dataset),
        batch_sampler=keys,
        num_workers=num_workers,
        multiprocessing_context="spawn" if num_workers else None,
        worker_init_fn=begin_worker,
        # Otherwise it draws from the global generator, which changes the dropout of resumed runs.
        generator=torch.Generator(),
        collate_fn=InSharedMemory(make, tensors) if num_workers else make,
    )
    loader = checked(loader)
    if maker.device:
        loader = map(maker, loader)
    if not maker.config.has_images:  # glosses keep their numbers
        return iter(loader)
    return (replace(batch, images=batch.images.float()) for batch in loader)


def _read_tensors(readings: Sequence[Reading]) -> list[torch.Tensor]:
    reads = [reading.read for reading in readings]
    good = [read for read in reads if not isinstance(read, DataError | Glosses)]
    return [tensor for read in good for tensor in tensors_of(read)]


def _batch_tensors(batch: Batch) -> list[torch.Tensor]:
    return [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]


def too_many_frames(clips: Sequence[Clip], num_frames: int, device: torch.device) -> str:
    """Returns the message for a batch that needs more memory than there is."""
    names = f"clips {', '.join(clip.id for clip in clips)}" if clips else "stream"
    return (
        f"{names}: found {num_frames} frames, more than the memory of {device} holds; "
        "expected fewer, a smaller --image-size or --batch-size, or --device cpu"
    )
