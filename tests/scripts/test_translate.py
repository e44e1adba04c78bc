import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slt_fast.checkpoint import build_network, checkpoint_folder, load_model, save_checkpoint
from slt_fast.commands.translate import Arguments
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import UserError, warn_once
from slt_fast.inference import translate, translator
from slt_fast.inference.translate import Translation
from slt_fast.inference.translator import Translator
from slt_fast.pretrained import SHIPPED


@pytest.mark.parametrize("name", ["first.mp4", "second"])
def test_prints_sentence_and_glosses(run_script, checkpoint, manifest: Path, name: str) -> None:
    translated = run_script("translate.py", manifest.parent / name, "--checkpoint", checkpoint)
    assert translated.status == 0, translated.err
    text, glosses = translated.out.splitlines()
    words = "the mother is asleep . did you see the red dog ?"
    assert set(text.split()) <= set(words.split())
    assert glosses.startswith("glosses: ")


def test_several_sentences_for_one_video(run_script, checkpoint, manifest, tmp_path: Path) -> None:
    trained = load_model(checkpoint)
    with torch.no_grad():  # without special tokens two sequences have two texts
        trained.network.decoder.output.bias[: len(TEXT_SPECIALS)] = -99
    save_checkpoint(tmp_path, 0, ("best",), trained, tensors={}, progress={})
    video = [manifest.parent / "first.mp4", "--checkpoint", tmp_path]
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
    several = Translator.load(tmp_path)
    several.search_with(beam_size=7)
    found = several(video[0]).candidates
    assert [text for text, _ in found] == [line.partition(" ")[2] for line in lines]
    assert several(video[0]).text == found[0].text
    assert Translator.load(tmp_path)(video[0]).text == best


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
    monkeypatch.setattr(
        translator,
        "translate_source",
        lambda trained, source: lengths.append(source.num_frames()) or Translation("", ()),
    )
    for options in ([], ["--folder-fps", 50]):
        folder = manifest.parent / "second"
        run = run_script("translate.py", folder, "--checkpoint", checkpoint, "--fps", 25, *options)
        assert run.status == 0, run.err
    assert lengths[1] == (lengths[0] + 1) // 2
    with pytest.raises(UserError, match="^folder_fps: found '50'; expected a finite number"):
        Translator.load(checkpoint)(folder, folder_fps="50")


def test_the_rate_of_a_folder_needs_a_folder(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"a")
    with pytest.raises(UserError, match="^folder_fps: found 50, but no folder among the videos"):
        Arguments((video, video), tmp_path, folder_fps=50.0)
    assert Arguments((video, tmp_path), tmp_path, folder_fps=50.0).folder_fps == 50
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
    fails(run_script(*options), "clip.mp4: found no images; expected a folder of png or jpg frames")


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
