"""Glosses as the input of the network, instead of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.vocabulary import UNKNOWN_GLOSS, Vocabulary
from slt_fast.errors import DataError


@dataclass(frozen=True)
class Glosses:
    """The annotated glosses of a clip, at least one, in signing order."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def glosses_of(clip: AnnotatedClip) -> Glosses:
    """Returns the glosses of a clip; raises DataError if it has none."""
    if not clip.glosses:
        expected = "at least one, as glosses are the input of this model"
        raise DataError(clip.origin, f"no glosses of clip {clip.id!r}", expected)
    return Glosses(clip.glosses)


def gloss_numbers(names: Sequence[str], vocabulary: Vocabulary) -> torch.Tensor:
    """Returns the numbers of glosses, int64 [T]; those that it does not have are "<unk>"."""
    return torch.tensor(vocabulary.encode(names), dtype=torch.long)


def drop_glosses(numbers: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Returns numbers of glosses, int64 [T], with a random share of them replaced by "<unk>"."""
    is_kept = torch.rand(len(numbers), generator=generator) >= share
    return numbers.where(is_kept, UNKNOWN_GLOSS)
