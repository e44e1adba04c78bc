"""Sentences of long videos and streams."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.synthetic.talk import Talk
from slt_fast.data.timed_images import TimedImage
from slt_fast.errors import DataError, UserError
from slt_fast.inference.pauses import PauseConfig
from slt_fast.inference.streaming import Partial, cut_at_pauses
from slt_fast.inference.translator import Translator

CUT = PauseConfig(longest_sentence=2)


@pytest.fixture(scope="module")
def talk() -> list[np.ndarray]:
    return list(Talk("test-00001", 2).frames())


def write(path: Path, frames: list[np.ndarray], times: list[float]) -> Path:
    """Writes a video without loss; times in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "bgr0", Fraction(1, 1000)
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video(talk, tmp_path: Path) -> Path:
    return write(tmp_path / "talk.mkv", talk, [number / 25 for number in range(len(talk))])


@pytest.fixture
def translator(trained: TrainedModel) -> Translator:
    return Translator(trained, fps=25.0)


def test_sentences_are_those_of_their_parts(translator: Translator, video: Path) -> None:
    true = Talk("test-00001", 2).sentences()
    found = list(translator.segments(video, sentences="pauses"))
    assert len(found) == 2
    for segment, sentence in zip(found, true, strict=True):
        assert segment.start_s == pytest.approx(sentence.start, abs=0.08)
        assert segment.end_s == pytest.approx(sentence.end, abs=0.08)
        start, end = (round(25 * each) for each in (segment.start_s, segment.end_s))
        alone = translator(video, start=start, end=end)
        assert segment.translation.candidates == alone.candidates
        assert segment.is_final and not segment.is_whole


@pytest.mark.parametrize("fps", [25.0, 12.5, "native"])
def test_a_stream_is_the_file(trained: TrainedModel, video: Path, talk, fps) -> None:
    """The same images to the bit, so the same scores."""
    translator = Translator(trained, fps=fps)
    of_file = list(translator.segments(video, sentences="pauses"))
    frames = ((number / 25, frame) for number, frame in enumerate(talk))
    of_stream = list(translator.stream(frames, frame_rate=25.0))
    assert of_stream == of_file and len(of_file) == 2
    scores = [[one.translation.candidates for one in each] for each in (of_file, of_stream)]
    assert scores[0] == scores[1]


def test_times_are_those_of_the_video(trained: TrainedModel, talk, tmp_path: Path) -> None:
    """A video whose frame rate varies: its second half is shown at half of the speed."""
    half = len(talk) // 2
    times = [min(n, half) / 25 + 2 * max(n - half, 0) / 25 for n in range(len(talk))]
    slow = write(tmp_path / "slow.mkv", talk, times)
    translator = Translator(trained, fps=25.0)
    first, second = translator.segments(slow, sentences="pauses")
    one, two = Talk("test-00001", 2).sentences()
    assert first.end_s == pytest.approx(one.end, abs=0.1)
    shown = [half / 25 + 2 * (at - half / 25) for at in (two.start, two.end)]
    assert [second.start_s, second.end_s] == pytest.approx(shown, abs=0.2)


def test_what_is_one_sentence(translator: Translator, video: Path, caplog) -> None:
    (whole,) = translator.segments(video)
    assert whole.is_whole and whole.translation.text == translator(video).text
    assert whole.end_s == pytest.approx(
        whole.start_s + len(list(Talk("test-00001", 2).frames())) / 25
    )
    assert not [each for each in caplog.records if each.levelname == "WARNING"]
    found = list(translator.segments(video, pauses=CUT))  # longer than two seconds
    assert len(found) >= 2 and not any(one.is_whole for one in found)
    (whole,) = translator.segments(video, sentences="one", pauses=CUT)
    assert whole.is_whole
    assert "taken as one sentence; --sentences pauses cuts them" in caplog.text


def test_where_no_pause_is_both_sentences_see_the_cut(translator: Translator) -> None:
    """Five moments, which is 0.2 seconds, on either side; and nothing of a rest."""
    config = translator.trained.recipe.input
    motion = [0.01] * 25 + [0.3] * 70 + [0.01] * 25
    motion[25 + 40] = 0.2
    images = [
        TimedImage(n / 25, torch.full((3, 2, 2), float(n)), each) for n, each in enumerate(motion)
    ]
    first, *_, last = cut_at_pauses(iter(images), 25.0, config, CUT)
    assert first.images[1:, 0, 0, 0].tolist() == list(range(25, round(first.end_s * 25) + 5))
    assert first.images[0].unique().numel() <= 2  # zero flow
    assert last.images[1, 0, 0, 0] == round(last.start_s * 25) - 5 + 1
    assert last.images[-1, 0, 0, 0] == 93


def test_what_is_known_of_a_sentence(translator: Translator, talk) -> None:
    frames = [(number / 25, frame) for number, frame in enumerate(talk)]
    found = list(translator.stream(frames, frame_rate=25.0, partial=Partial(0.4)))
    finals = [one for one in found if one.is_final]
    assert finals == list(translator.stream(frames, frame_rate=25.0))
    partial = [one for one in found if not one.is_final and one.end_s <= finals[0].end_s + 0.1]
    assert len(partial) >= 2 and [one.end_s for one in partial] == sorted(
        one.end_s for one in partial
    )
    late = Partial(0.4, is_late=lambda: True)
    assert list(translator.stream(frames, frame_rate=25.0, partial=late)) == finals


def test_what_cannot_be_cut(trained: TrainedModel, translator: Translator, talk, tmp_path) -> None:
    with pytest.raises(UserError, match="found no frame rate; expected --fps"):
        list(Translator(trained, fps="native").stream(iter([(0.0, talk[0])])))
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    with pytest.raises(DataError, match=r"broken\.mp4: found text; expected a video file"):
        list(translator.segments(broken, sentences="pauses"))
    with pytest.raises(UserError, match="sentences: found 'two'"):
        list(translator.segments(tmp_path, sentences="two"))
    glosses = replace(
        trained, recipe=replace(trained.recipe, input=replace(trained.recipe.input, input="gloss"))
    )
    with pytest.raises(UserError, match="a model that takes glosses"):
        list(Translator(glosses).stream(iter([])))
