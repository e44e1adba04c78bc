"""Several sentences of one drawn signer in one video, with rests between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple, cast

import numpy as np

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.synthetic.corpus import FRAME_RATE, SyntheticSource, read_synthetic
from slt_fast.data.synthetic.motion import rest_poses
from slt_fast.data.synthetic.render import render
from slt_fast.data.synthetic.signer import draw_signer
from slt_fast.errors import UserError


class SignedSentence(NamedTuple):
    """A sentence of a talk, and when it is signed: from the first movement to the rest."""

    start: float  # seconds
    end: float
    clip: AnnotatedClip


class Talk:
    """Sentences of one signer with rests before, between and after them.

    The frames of a sentence are those of its clip, to the bit.

    Args:
        first: Id of the first clip, SPLIT-NUMBER; the others are the signer's next ones.
        num_sentences: Sentences of the talk.
        rests: Shortest and longest rest in seconds.
        seed: Seed of the corpus and of the rests.
        agreement: As for read_synthetic.

    Raises:
        UserError: There is no such clip, or the signer has fewer sentences from there on.
    """

    def __init__(
        self,
        first: str,
        num_sentences: int,
        *,
        rests: tuple[float, float] = (0.5, 1.0),
        seed: int = 0,
        agreement: bool = False,
    ) -> None:
        self._clips = _signers_clips(first, num_sentences, seed, agreement)
        self._sources = [cast(SyntheticSource, clip.source) for clip in self._clips]
        self._seed = (seed, self._sources[0].seed[1], 5)
        lengths = np.random.default_rng(self._seed).uniform(*rests, num_sentences + 1)
        self._rests = np.maximum(1, np.round(lengths * FRAME_RATE)).astype(int).tolist()

    def frames(self) -> Iterator[np.ndarray]:
        """Renders the frames, uint8 [H, W, 3] RGB, FRAME_RATE a second."""
        generator = np.random.default_rng((*self._seed, 1))
        sources = self._sources
        signer = draw_signer(sources[0].seed[0], sources[0].signer)
        heads = [source.poses()[0].head for source in sources]
        ends = [heads[0][:1], *chain(*((head[:1], head[-1:]) for head in heads)), heads[-1][-1:]]
        for number, rest in enumerate(self._rests):
            before, after = ends[2 * number], ends[2 * number + 1]
            poses = rest_poses(rest, before[0], after[0], generator)
            yield from render(poses, signer, generator, size=sources[0].size)
            if number < len(sources):
                yield from sources[number].read()

    def sentences(self) -> list[SignedSentence]:
        """Returns the sentences in order, with their times."""
        signed, frame = [], 0
        for rest, clip in zip(self._rests, self._clips, strict=False):
            start, frame = frame + rest, frame + rest + clip.source.num_frames()
            signed.append(SignedSentence(start / FRAME_RATE, frame / FRAME_RATE, clip))
        return signed


def _signers_clips(first: str, wanted: int, seed: int, agreement: bool) -> list[AnnotatedClip]:
    clips = read_synthetic(first.rpartition("-")[0], seed=seed, agreement=agreement)
    numbers = [number for number, clip in enumerate(clips) if clip.id == first]
    if not numbers:
        raise UserError(f"clip: found {first!r}; expected {clips[0].id} to {clips[-1].id}")
    signer = clips[numbers[0]].signer
    signed = [clip for clip in clips[numbers[0] :] if clip.signer == signer]
    if len(signed) < wanted:
        expected = f"at most {len(signed)}, which {signer} signs from {first} on"
        raise UserError(f"sentences: found {wanted}; expected {expected}")
    return signed[:wanted]
