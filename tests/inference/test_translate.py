from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.data.batching import Batch, Vocabularies
from slt_fast.data.input import clip_images
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError
from slt_fast.inference import translate
from slt_fast.inference.search import Found
from slt_fast.inference.translate import Translation, translate_batch, translate_source
from slt_fast.model.cached_decoder import CachedDecoder
from slt_fast.recipe import SearchConfig


def batch(*clips: torch.Tensor) -> Batch:
    lengths, none = torch.tensor([len(clip) for clip in clips]), torch.zeros(0, dtype=torch.long)
    return Batch((), torch.cat(clips), lengths, none, none, none)


def clips() -> list[torch.Tensor]:
    return [torch.rand(length, 3, 32, 32) for length in (4, 9, 1, 6)]


def beams(number: int) -> SearchConfig:
    return SearchConfig(beam_size=number, max_text_length=5)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_clips_of_a_batch_do_not_touch_each_other(trained, beam_size: int) -> None:
    shown, search = clips(), replace(beams(beam_size), gloss_beam_size=beam_size)
    together = translate_batch(trained, batch(*shown), search=search)
    alone = [translate_batch(trained, batch(clip), search=search)[0] for clip in shown]
    assert together == alone
    assert all(len(translation.text.split()) <= 5 for translation in together)


def test_speaks_the_words_of_its_vocabularies(trained, monkeypatch) -> None:
    model, encode = trained.network, trained.network.encode

    def encoded(images, lengths):
        result = encode(images, lengths)
        logits = torch.zeros_like(result.gloss_logits)
        for step, token in enumerate((2, 2, 0, 3)):
            logits[:, step, token] = 1
        return result._replace(gloss_logits=logits)

    def next_logits(self, tokens, continued):
        logits = torch.full((len(tokens), 7), -9.0)
        logits[:, (4, 5, 6, 2, 2)[tokens.shape[1] - 1]] = 9
        return logits

    monkeypatch.setattr(model, "encode", encoded)
    monkeypatch.setattr(CachedDecoder, "__call__", next_logits)
    for beam_size in (1, 2):
        search = replace(beams(beam_size), gloss_beam_size=beam_size)
        (translation,) = translate_batch(trained, batch(clips()[0]), search=search)
        assert translation == Translation("ein hund schläft", ("HUND", "SCHLAF"))


def test_a_text_is_one_candidate_however_it_is_spelled(trained, monkeypatch) -> None:
    """Subwords cut a text in several ways."""
    found = [[4, 5], [5, 4], [6]]
    sequences = [Found(tokens, -number, 1) for number, tokens in enumerate(found, 1)]
    monkeypatch.setattr(translate, "search_texts", lambda *_: [sequences])
    monkeypatch.setattr(
        Vocabularies, "decode_text", lambda _, tokens: "".join(map(str, sorted(tokens)))
    )
    search = replace(beams(3), length_penalty=0.0)
    (said,) = translate_batch(trained, batch(clips()[0]), search=search)
    assert said.text == "45" and said.candidates == (("45", -1), ("6", -3))


def test_a_source_is_read_as_in_training(trained) -> None:
    source = SyntheticSource("a", ("DOG", "SLEEP"), "statement", 0, (0, 0), (40, 40))
    images = clip_images(torch.from_numpy(source.read()), trained.recipe.input)
    expected = translate_batch(trained, batch(images), search=beams(3))
    assert [translate_source(trained, source)] == expected


@dataclass(frozen=True)
class Frames:
    """As many black frames of this size."""

    length: int
    height: int
    name: str = "frames"

    def frames(self) -> Iterator[np.ndarray]:
        return iter(np.zeros((self.length, self.height, 40, 3), np.uint8))

    def estimated_frames(self) -> int:
        return self.length


def test_a_single_frame_is_enough(trained) -> None:
    assert isinstance(translate_source(trained, Frames(1, 40)), Translation)


def test_videos_that_cannot_be_translated(trained, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no such file; expected a video file"):
        translate_source(trained, VideoSource(tmp_path / "clip.mp4"))
    with pytest.raises(ValueError, match="found frames of 6x40 pixels; expected sides of at least"):
        translate_source(trained, Frames(3, 6))
