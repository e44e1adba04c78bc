"""Splits of the synthetic corpus, mirroring CoL-SLTD's two protocols (Rodriguez et al., ACCV 2020).

Splits: "train"; "dev" and "test" with unseen signers and unseen sentences; "test_signers" with
unseen signers and sentences of the training split. The corpus seed determines everything. In the
corpus with agreement, hand and head of a frame have to be seen together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from slt_fast.data.cameras import Camera
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.frame_source import FrameSource, Identity, join
from slt_fast.data.resampling import resampled
from slt_fast.data.synthetic.grammar import Sentence, draw_sentence
from slt_fast.data.synthetic.motion import Poses, sign_poses
from slt_fast.data.synthetic.render import render
from slt_fast.data.synthetic.signer import draw_signer
from slt_fast.data.synthetic.signs import agreeing_sign, sign_for
from slt_fast.errors import UserError

Frame = TypeVar("Frame")

FRAME_RATE = 25.0  # as if a camera had taken the frames
# First version of slt_fast that renders these frames; changes whenever the frames change.
RENDERING = "0.1.0"
NUM_TRAIN_SIGNERS, NUM_DEV_SIGNERS, NUM_TEST_SIGNERS = 24, 4, 8
_ROUNDING = 1e-6  # seconds
NUM_CLIPS = {"train": 960, "dev": 80, "test": 160, "test_signers": 160}


@dataclass(frozen=True)
class SyntheticSource:
    """A clip that is rendered when it is read; a FrameSource."""

    name: str  # in errors
    glosses: tuple[str, ...]  # in signing order; any names
    mode: str  # "statement", "negation" or "question"
    signer: int
    seed: tuple[int, int]  # of the corpus and of this clip
    size: tuple[int, int] = (112, 112)  # height and width in pixels
    non_manual: bool = True  # False moves head and face as in a statement, in every mode
    rate: float | None = None  # frames per second to resample to; None keeps all frames
    camera: Camera | None = None  # takes other frames than the corpus', between its poses
    sides: tuple[int, ...] = ()  # of agreeing_sign, one for each gloss; none without agreement

    def frames(self) -> Iterator[np.ndarray]:
        """Renders the frames, each uint8 [H, W, 3] RGB."""
        return self._resampled(*self._filmed())

    def read(self) -> np.ndarray:
        """Renders the frames, uint8 [T, H, W, 3] RGB."""
        times, frames = self._filmed()
        if self.rate is None:
            return frames
        return join(frame[None] for frame in self._resampled(times, frames))

    def num_frames(self) -> int:
        """Counts the frames that `read` returns."""
        times = self._times(self.poses()[0])
        return sum(1 for _ in self._resampled(times, times))

    def estimated_frames(self) -> int:
        """Counts the frames, which takes no rendering."""
        return self.num_frames()

    def frame_rate(self) -> float:
        """Returns FRAME_RATE."""
        return FRAME_RATE

    def at_rate(self, rate: float, camera: Camera | None = None) -> FrameSource:
        """Returns the clip resampled to a number of frames per second, as FrameSource says."""
        return replace(self, rate=rate, camera=camera)

    def place(self, data_root: Path) -> tuple[str, dict[str, Any]]:
        """Returns everything that determines the frames; there is no file."""
        place = asdict(self)
        unused = [name for name in ("rate", "camera", "sides") if not place[name]]
        return self.name, {name: place[name] for name in place if name not in unused}

    def identity(self, data_root: Path) -> Identity:
        """Returns the place, with the version of the rendering as the state."""
        return Identity(*self.place(data_root), {"slt_fast": RENDERING})

    def neutral(self) -> FrameSource | None:
        """Returns the same clip with head and face as in a statement."""
        moves = self.mode != "statement" or bool(self.sides)
        return replace(self, non_manual=False) if moves else self

    def _filmed(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the seconds of the frames, float [T], and the frames before resampling."""
        poses, generator = self.poses()
        times = self._times(poses)
        if self.camera is not None:
            poses = poses.between(times * FRAME_RATE)
        signer = draw_signer(self.seed[0], self.signer)
        return times, render(poses, signer, generator, size=self.size)

    def _times(self, poses: Poses) -> np.ndarray:
        """Returns the seconds at which the frames are taken, float [T]."""
        own = np.arange(len(poses.brows)) / FRAME_RATE
        if self.camera is None:
            return own
        taken = takewhile(lambda moment: moment <= own[-1] + _ROUNDING, self.camera.moments())
        return np.minimum([*taken], own[-1])

    def _resampled(self, times: np.ndarray, frames: Iterable[Frame]) -> Iterator[Frame]:
        if self.rate is None:
            return iter(frames)
        own = FRAME_RATE if self.camera is None else self.camera.rate
        return resampled(zip(times.tolist(), frames, strict=True), self.rate, own)

    def poses(self) -> tuple[Poses, np.random.Generator]:
        """Returns a pose for each frame of the corpus, and the generator that draws its noise."""
        generator = np.random.default_rng((*self.seed, 3))
        signer = draw_signer(self.seed[0], self.signer)
        if self.sides:
            pairs = zip(self.glosses, self.sides, strict=True)
            signs = [agreeing_sign(gloss, side) for gloss, side in pairs]
        else:
            signs = [sign_for(gloss) for gloss in self.glosses]
        poses = sign_poses(signs, self.mode, signer, generator, non_manual=self.non_manual)
        return poses, generator


def read_synthetic(
    split: str, *, seed: int = 0, num_clips: int | None = None, agreement: bool = False
) -> list[AnnotatedClip]:
    """Returns the clips of a split.

    Args:
        split: One of NUM_CLIPS.
        seed: Seed of the corpus.
        num_clips: How many of the first clips to return; None for all.
        agreement: Whether pairs of glosses share a sign, and only head and hand together show which
            of them is meant (AGREEMENT_PAIRS).

    Raises:
        UserError: The split is not in NUM_CLIPS.
    """
    if split not in NUM_CLIPS:
        raise UserError(f"synthetic corpus: found split {split!r}; expected {tuple(NUM_CLIPS)}")
    train_sentences = _sentences("train", seed, frozenset(), agreement)
    seen = frozenset((sentence.glosses, sentence.mode) for sentence in train_sentences)
    if split == "train":
        sentences = train_sentences
    elif split == "test_signers":
        sentences = train_sentences[: NUM_CLIPS[split]]
    else:
        sentences = _sentences(split, seed, seen, agreement)
    return [
        _clip(split, seed, number, sentence, agreement)
        for number, sentence in enumerate(sentences[:num_clips])
    ]


def _sentences(split: str, seed: int, excluded: frozenset, agreement: bool) -> list[Sentence]:
    generator = np.random.default_rng((seed, 2, _number(split)))
    sentences: list[Sentence] = []
    while len(sentences) < NUM_CLIPS[split]:
        sentence = draw_sentence(generator, agreement=agreement)
        if (sentence.glosses, sentence.mode) not in excluded:
            sentences.append(sentence)
    return sentences


def _signers(split: str) -> range:
    starts = np.cumsum([0, NUM_TRAIN_SIGNERS, NUM_DEV_SIGNERS, NUM_TEST_SIGNERS]).tolist()
    group = {"train": 0, "dev": 1}.get(split, 2)
    return range(starts[group], starts[group + 1])


def _number(split: str) -> int:
    """Returns the first clip seed of a split, far from the other splits'."""
    return list(NUM_CLIPS).index(split) * 1_000_000


def _clip(split: str, seed: int, number: int, sentence: Sentence, agreement: bool) -> AnnotatedClip:
    name, signers = f"{split}-{number:05d}", _signers(split)
    signer = signers[number % len(signers)]
    seeds = (seed, _number(split) + number)
    source = SyntheticSource(name, sentence.glosses, sentence.mode, signer, seeds)
    if agreement:
        sides = np.random.default_rng((*seeds, 4)).choice((-1, 1), len(sentence.glosses))
        source = replace(source, sides=tuple(sides.tolist()))
    kind = "synthetic corpus with agreement" if agreement else "synthetic corpus"
    return AnnotatedClip(
        id=name,
        source=source,
        text=sentence.text,
        glosses=sentence.glosses,
        signer=draw_signer(seed, signer).name,
        split=split,
        origin=f"{kind}, seed {seed}: {name}",
    )
