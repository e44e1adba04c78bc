import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from slt_fast.checkpoint import (
    TrainedModel,
    build_network,
    checkpoint_folder,
    load_model,
    save_checkpoint,
)
from slt_fast.commands.translate import Arguments
from slt_fast.data.clip import Clip
from slt_fast.data.datasets.subtitles import read_cues
from slt_fast.data.synthetic.talk import Talk
from slt_fast.data.video.live import LiveReader
from slt_fast.data.vocabulary import EOS, GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import UserError, warn_once
from slt_fast.inference import translate, translator
from slt_fast.inference.streaming import Segment, Sentence
from slt_fast.inference.translate import Translation
from slt_fast.inference.translator import Translator
from slt_fast.pretrained import SHIPPED
from slt_fast.visualize import write_video


@pytest.mark.parametrize("name", ["first.mp4", "second"])
def test_prints_sentence_and_glosses(run_script, checkpoint, manifest: Path, name: str) -> None:
    translated = run_script("translate.py", manifest.parent / name, "--checkpoint", checkpoint)
    assert translated.status == 0, translated.err
    text, glosses = translated.out.splitlines()
    words = "the mother is asleep . did you see the red dog ?"
    assert set(text.split()) <= set(words.split())
    assert glosses.startswith("glosses: ")


def test_several_sentences_for_one_video(run_script, speaking: Path, manifest) -> None:
    # Without special tokens two sequences have two texts.
    video = [manifest.parent / "first.mp4", "--checkpoint", speaking]
    (best, glosses) = run_script("translate.py", *video).out.splitlines()
    *lines, last = run_script("translate.py", *video, "--n-best", 2).out.splitlines()
    # The recipe has two beams: the first sentence is the plain answer.
    assert len(lines) == 2 and lines[0].partition(" ")[2] == best and last == glosses
    fails(
        run_script("translate.py", *video, "--n-best", 7),
        "n_best: found 7 with a beam size of 2; expected at most 2, or --beam-size 7",
    )
    seven = ["--n-best", 7, "--beam-size", 7]
    *lines, last = run_script("translate.py", *video, *seven).out.splitlines()
    assert len(lines) == 7 and last == glosses  # which do not depend on the beams
    scores = [float(line.partition(" ")[0]) for line in lines]
    assert scores == sorted(scores, reverse=True) and max(scores) < 0
    several = Translator.load(speaking)
    several.search_with(beam_size=7)
    found = several(video[0]).candidates
    assert [text for text, _ in found] == [line.partition(" ")[2] for line in lines]
    assert several(video[0]).text == found[0].text
    assert Translator.load(speaking)(video[0]).text == best


def test_the_search_is_that_asked_for(run_script, checkpoint, manifest: Path, monkeypatch) -> None:
    """The options that slt-evaluate --tune names; by default those of the checkpoint's recipe."""
    searches, real = [], translate.search_texts

    def search_texts(network, encoded, search):
        searches.append((search.beam_size, search.length_penalty))
        return real(network, encoded, search)

    monkeypatch.setattr(translate, "search_texts", search_texts)
    video = [manifest.parent / "second", "--checkpoint", checkpoint]
    for options in ([], ["--beam-size", 3, "--length-penalty=-0.5"], ["--length-penalty", 0]):
        translated = run_script("translate.py", *video, *options)
        assert translated.status == 0, translated.err
    assert searches == [(2, 1), (3, -0.5), (2, 0)]
    for option, expected in (
        ("--beam-size=0", "beam_size: found 0; expected at least 1"),
        ("--beam-size=101", "beam_size: found 101; expected beam_size <= 100"),
        ("--length-penalty=31", "length_penalty: found 31.0; expected length_penalty <= 30"),
    ):
        fails(run_script("translate.py", *video, option), expected)


@pytest.mark.parametrize(
    ("knows_glosses", "said"), [(True, "none"), (False, "none (the model was trained without)")]
)
def test_no_glosses(
    run_script, checkpoint, manifest, tmp_path, monkeypatch, knows_glosses: bool, said: str
) -> None:
    trained = load_model(checkpoint)
    if not knows_glosses:
        words = replace(trained.vocabularies, gloss=Vocabulary.build([], GLOSS_SPECIALS))
        trained = replace(
            trained, network=build_network(trained.recipe, words).eval(), vocabularies=words
        )
    save_checkpoint(tmp_path, 0, ("best",), trained, tensors={}, progress={})
    monkeypatch.setattr(translate, "greedy_ctc", lambda logits, lengths: [[]])
    translated = run_script("translate.py", manifest.parent / "second", "--checkpoint", tmp_path)
    assert translated.status == 0, translated.err
    assert translated.out.splitlines()[1] == f"glosses: {said}"


def test_real_video(run_script, checkpoint: Path, shared_data: Path) -> None:
    path = shared_data / "clips" / "pose" / "test_video.mp4"
    translated = run_script("translate.py", path, "--checkpoint", checkpoint)
    assert translated.status == 0, translated.err
    assert len(translated.out.splitlines()) == 2


def test_the_rate_of_a_folder(run_script, checkpoint: Path, manifest: Path, monkeypatch) -> None:
    lengths = []

    def count(trained: TrainedModel, sentences: Iterator[Sentence], clip: Clip) -> list[Segment]:
        (sentence,) = sentences
        lengths.append(len(sentence.images))
        return [Segment(0.0, 1.0, Translation("", ()), is_whole=True)]

    monkeypatch.setattr(translator, "translate_sentences", count)
    for options in ([], ["--folder-fps", 50]):
        folder = manifest.parent / "second"
        run = run_script("translate.py", folder, "--checkpoint", checkpoint, "--fps", 25, *options)
        assert run.status == 0, run.err
    assert lengths[1] == (lengths[0] + 1) // 2
    with pytest.raises(UserError, match="^folder_fps: found '50'; expected a finite number"):
        Translator.load(checkpoint)(folder, folder_fps="50")


def test_the_rate_of_a_folder_needs_a_folder(tmp_path: Path) -> None:
    video, folder = str(tmp_path / "a.mp4"), str(tmp_path)
    Path(video).write_bytes(b"a")
    with pytest.raises(UserError, match="^folder_fps: found 50, but no folder among the videos"):
        Arguments((video, video), tmp_path, folder_fps=50.0)
    assert Arguments((video, folder), tmp_path, folder_fps=50.0).folder_fps == 50
    assert Arguments((video,), tmp_path).folder_fps is None


def test_part_of_a_video(run_script, checkpoint: Path, manifest: Path, tmp_path: Path) -> None:
    """Frames outside of it are not looked at."""
    frames = sorted((manifest.parent / "second").iterdir(), key=lambda path: int(path.stem))
    for path in frames:
        (tmp_path / path.name).write_bytes(path.read_bytes() if 3 <= int(path.stem) < 9 else b"")
    part = ["--start", 3, "--end", 9, "--checkpoint", checkpoint]
    whole = run_script("translate.py", manifest.parent / "second", *part)
    assert (whole.status, len(frames) > 9) == (0, True), whole.err
    assert run_script("translate.py", tmp_path, *part) == whole
    fails(
        run_script("translate.py", tmp_path, *part[2:]), "0.png: found an empty file; expected a "
    )


def fails(finished, message: str) -> None:
    assert finished.status == 1
    (line,) = finished.err.splitlines()
    assert line.startswith("error: ") and message in line


def test_videos_that_cannot_be_read(run_script, checkpoint, manifest: Path, tmp_path) -> None:
    video = tmp_path / "clip.mp4"
    options = ["translate.py", video, "--checkpoint", checkpoint]
    fails(run_script(*options), "clip.mp4: found no such file; expected a video file or a folder")
    content = (manifest.parent / "first.mp4").read_bytes()
    video.write_bytes(content[: len(content) // 2])
    fails(run_script(*options), "as its container declares (the video is truncated)")
    video.write_text("no video")
    fails(run_script(*options), "clip.mp4: found text; expected a video file")
    video.unlink()
    video.mkdir()
    fails(run_script(*options), "clip.mp4: found no videos and no folders of frames; expected at")


def test_checkpoints_that_cannot_be_used(run_script, checkpoint, manifest, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    options = ["translate.py", manifest.parent / "second", "--checkpoint", folder]
    fails(run_script(*options), "copy: found nothing; expected a checkpoint's folder")
    shutil.copytree(checkpoint_folder(checkpoint / "best"), folder)
    weights = load_file(folder / "model.safetensors")
    name = max(weights, key=lambda name: weights[name].numel())
    save_file(weights | {name: weights[name][1:].clone()}, folder / "model.safetensors")
    shape = [*weights[name].shape]
    message = f"model.safetensors: found {name} of {[shape[0] - 1, *shape[1:]]}; expected {shape}"
    fails(run_script(*options), message)
    (folder / "model.safetensors").write_bytes(b"")
    fails(run_script(*options), "expected a whole safetensors file")


def test_without_a_checkpoint_the_model_in_the_package_translates(
    run_script, manifest: Path, caplog
) -> None:
    warn_once.cache_clear()
    videos = [manifest.parent / "second"] * 2
    said = run_script("translate.py", *videos)
    assert said.status == 0, said.err
    alone = Translator.load(SHIPPED)(videos[0])
    assert said.out.splitlines()[1] == alone.text
    (warning,) = [line for line in caplog.messages if line.startswith("checkpoint: ")]
    expected = "none given, so the model in slt_fast is used. It knows only a signer drawn by code"
    assert expected in warning
    fails(run_script("translate.py", "--glosses", "HUND"), "glosses: found a model that sees flow")


def test_several_videos_in_one_start(run_script, checkpoint: Path, manifest: Path) -> None:
    videos = [manifest.parent / name for name in ("first.mp4", "second")]
    alone = [run_script("translate.py", video, "--checkpoint", checkpoint).out for video in videos]
    both = run_script("translate.py", *videos, "--checkpoint", checkpoint)
    assert both.status == 0, both.err
    named = [f"{video}:\n{said}" for video, said in zip(videos, alone, strict=True)]
    assert both.out == "".join(named)


def test_a_bad_video_does_not_stop_the_others(run_script, checkpoint, manifest: Path) -> None:
    good = manifest.parent / "second"
    alone = run_script("translate.py", good, "--checkpoint", checkpoint).out
    mixed = run_script("translate.py", "gone.mp4", good, "--checkpoint", checkpoint)
    fails(mixed, "gone.mp4: found no such file")
    assert mixed.out == f"{good}:\n{alone}"


def test_bad_options(run_script, checkpoint: Path) -> None:
    assert run_script("translate.py", "--checkpoint", checkpoint).status == 2
    for option in ("--fps", "--folder-fps"):
        refused = run_script("translate.py", "clip.mp4", "--checkpoint", checkpoint, option, "0")
        assert refused.status == 2 and "fps: found 0.0; expected 1 to 1000" in refused.err


@pytest.fixture(scope="module")
def talks(tmp_path_factory) -> Path:
    """A folder with a video of two sentences, and the same in a folder below."""
    folder = tmp_path_factory.mktemp("talks")
    (folder / "more").mkdir()
    frames = list(Talk("test-00001", 2).frames())
    write_video(folder / "one talk.mp4", frames, fps=25)
    shutil.copy(folder / "one talk.mp4", folder / "more" / "another.mp4")
    return folder


@pytest.fixture(scope="module")
def speaking(checkpoint: Path, tmp_path_factory) -> Path:
    """The same model, but it never says nothing."""
    trained = load_model(checkpoint)
    with torch.no_grad():
        trained.network.decoder.output.bias[: len(TEXT_SPECIALS)] = -99
    folder = tmp_path_factory.mktemp("speaking")
    save_checkpoint(folder, 0, ("best",), trained, tensors={}, progress={})
    return folder


@pytest.fixture
def cut(run_script, speaking: Path):
    """Runs slt-translate at the videos' own frame rate, with other arguments."""
    options = ["--checkpoint", speaking, "--fps", 25]
    return lambda *arguments: run_script("translate.py", *arguments, *options)


def test_subtitles_of_many_videos(cut, talks: Path, tmp_path: Path) -> None:
    finished = cut(talks, "--format", "vtt", "--output", tmp_path)
    assert finished.status == 0, finished.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another.vtt", "one talk.vtt"]
    assert finished.out.count(": 2 sentences") == 2
    first, second = read_cues(tmp_path / "one talk.vtt")
    true = Talk("test-00001", 2).sentences()
    for cue, sentence in zip((first, second), true, strict=True):
        assert (cue.start, cue.end) == pytest.approx((sentence.start, sentence.end), abs=0.3)
    assert read_cues(tmp_path / "another.vtt") == [first, second]
    beside = cut(talks / "more" / "another.mp4", "--format", "srt", "--beside")
    assert beside.status == 0, beside.err
    assert [cue.text for cue in read_cues(talks / "more" / "another.srt")] == [
        *(first.text, second.text)
    ]
    (talks / "more" / "another.srt").unlink()


def test_nothing_is_left_out_unsaid(run_script, checkpoint, talks: Path, tmp_path, caplog) -> None:
    trained = load_model(checkpoint)
    with torch.no_grad():  # it ends each sentence at once
        trained.network.decoder.output.bias[EOS] = 99
    save_checkpoint(tmp_path / "run", 0, ("best",), trained, tensors={}, progress={})
    out = tmp_path / "a.vtt"
    options = ["--checkpoint", tmp_path / "run", "--fps", 25, "--format", "vtt", "--output", out]
    assert run_script("translate.py", talks / "one talk.mp4", *options).status == 0
    assert "a.vtt: left out 2 of 2 sentences, of which the model says nothing" in caplog.text


def test_json_lines(cut, talks: Path) -> None:
    path = talks / "one talk.mp4"
    finished = cut(path, "--format", "jsonl", "--sentences", "pauses", "--n-best", 2)
    lines = [json.loads(line) for line in finished.out.splitlines()]
    assert len(lines) == 2 and list(lines[0]) == [
        *("video", "start", "end", "text", "glosses", "score", "n_best")
    ]
    for line in lines:
        assert line["video"] == str(path) and line["start"] < line["end"]
        best = line["n_best"][0]
        assert (best["text"], best["score"]) == (line["text"], line["score"])
        assert len(line["n_best"]) <= 2


def test_a_long_video_is_cut_by_itself(cut, talks: Path, caplog) -> None:
    caplog.set_level("INFO")
    path = talks / "one talk.mp4"
    text, glosses = cut(path).out.splitlines()
    assert glosses.startswith("glosses: ") and "-->" not in text
    finished = cut(path, "--longest-sentence", 2.5)
    assert all(re.match(r"00:00:0\d\.\d{3} --> 00:00:", line) for line in finished.out.splitlines())
    assert "so it is cut at pauses; or use --sentences one" in caplog.text


def test_patterns_and_manifests(cut, talks: Path, tmp_path: Path) -> None:
    found = cut(f"{talks}/**/*.mp4")
    assert [line for line in found.out.splitlines() if line.endswith(".mp4:")] == [
        f"{talks / 'more' / 'another.mp4'}:",
        f"{talks / 'one talk.mp4'}:",
    ]
    rows = "id,video,start,end,text,split\na,one talk.mp4,10,40,x,test\nb,gone.mp4,,,x,test\n"
    (talks / "manifest.csv").write_text(rows)
    finished = cut(f"manifest:{talks / 'manifest.csv'}")
    assert finished.status == 1 and "found video 'gone.mp4', which does not exist" in finished.err
    alone = cut(talks / "one talk.mp4", "--start", 10, "--end", 40).out.splitlines()
    assert finished.out.splitlines() == ["a:", *alone]
    (talks / "manifest.csv").unlink()
    fails(cut(f"{talks}/*.avi"), "*.avi: found no file that matches; expected a pattern of videos")


def test_nothing_is_written_over(cut, talks: Path, tmp_path: Path) -> None:
    video = talks / "one talk.mp4"
    content = video.read_bytes()
    fails(cut(video, "--output", video), "which belongs to")
    fails(cut(talks, "--format", "srt", "--output", tmp_path / "all.srt"), "found 2 videos for")
    fails(cut(talks, "--format", "srt"), "found 2 videos for standard output")
    assert video.read_bytes() == content and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, message",
    [
        (["--camera", 0, "--start", 3], "camera: found start as well"),
        (["--stream", "a", "--camera", 0], "stream: found camera and stream"),
        (["--stream", "a", "--sentences", "one"], "sentences: found one for a stream"),
        (
            ["a.mp4", "--format", "srt", "--n-best", 2],
            "n_best: found 2; expected 1, as srt has",
        ),
        (["a.mp4", "--beside", "--output", "b"], "beside: found output b as well"),
    ],
)
def test_options_that_do_not_fit(cut, options: list, message: str) -> None:
    finished = cut(*options)
    assert finished.status != 0 and message in finished.err


def test_streams(cut, talks: Path, tmp_path: Path) -> None:
    """A file and a FIFO are read to their end, and not a frame is dropped."""
    path = talks / "one talk.mp4"
    of_file = cut(path, "--sentences", "pauses")
    streamed = cut("--stream", path, "--timing")
    assert streamed.status == 0, streamed.err
    assert streamed.out == of_file.out and "0 frames dropped" in streamed.err
    fails(cut("--camera", 77), "/dev/video77: found no such camera; expected the number of a")
    fails(cut("--stream", tmp_path / "gone"), "gone: found nothing; expected a URL")


@pytest.fixture
def fifo(talks: Path, tmp_path: Path) -> Iterator[Path]:
    """A FIFO that holds the talk, and then waits for more of it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    container = tmp_path / "talk.ts"
    frames = list(Talk("test-00001", 2).frames())
    with av.open(str(container), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    ended = threading.Event()

    def feed() -> None:
        with path.open("wb") as pipe, suppress(BrokenPipeError):
            pipe.write(container.read_bytes())
            pipe.flush()
            ended.wait()

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield path
    ended.set()
    thread.join(10)


def test_ctrl_c_ends_a_stream_with_its_sentence(cut, fifo: Path, monkeypatch) -> None:
    """The FIFO goes on, but the sentence that is signed is translated as far as it was seen."""
    frames = LiveReader.frames

    def until_pressed(reader: LiveReader) -> Iterator[tuple[float, np.ndarray]]:
        for number, frame in enumerate(frames(reader)):
            if number == 40:
                os.kill(os.getpid(), signal.SIGINT)
            yield frame

    monkeypatch.setattr(LiveReader, "frames", until_pressed)
    before = signal.getsignal(signal.SIGINT)
    finished = cut("--stream", fifo)
    (line,) = finished.out.splitlines()
    assert finished.status == 128 + signal.SIGINT and "--> 00:00:01.6" in line
    assert signal.getsignal(signal.SIGINT) is before
