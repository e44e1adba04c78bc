from pathlib import Path

import numpy as np
import pytest

from slt_fast.data.datasets.phoenix14t import read_phoenix14t
from slt_fast.data.datasets.subtitles import read_cues
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.talk import Talk
from slt_fast.data.video.source import VideoSource

NAME = "PHOENIX-2014-T.test.corpus.csv"
ROWS = """name|video|start|end|speaker|orth|translation
a-1|a-1/1/*.png|-1|-1|Signer08|REGEN loc-NORD|regen im norden
a-2|a-2/1/*.png|-1|-1|Signer01|SONNE|sonne
a-3|a-3/1/*.png|-1|-1|Signer01|WIND|wind
"""


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_writes_the_official_layout(run_script, annotations: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--annotations", annotations, "--output", out, "--limit", 2, "--seed", 3]
    finished = run_script("render_synthetic.py", *options)
    assert finished.status == 0, finished.err
    clips = read_phoenix14t(out, "test")
    assert [clip.id for clip in clips] == ["a-1", "a-2"]
    num_frames = sum(clip.source.num_frames() for clip in clips)
    assert f"wrote {num_frames} frames; train on them with --data phoenix14t:{out}" in finished.out
    assert clips[0].source.read().shape[1:] == (260, 210, 3)  # PHOENIX's own size


def test_size(run_script, annotations: Path, tmp_path: Path) -> None:
    size = ["--width", 40, "--height", 50]
    options = ["--annotations", annotations, "--output", tmp_path / "out", *size]
    assert run_script("render_synthetic.py", *options).status == 0
    clips = read_phoenix14t(tmp_path / "out", "test")
    assert {clip.source.read().shape[1:] for clip in clips} == {(50, 40, 3)} and len(clips) == 3


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--limit", "0"], 1, "error: limit: found 0; expected at least 1"),
        (["--width", "0"], 1, "error: size: found (260, 0); expected at least 1"),
        (["--annotations", "gone.csv"], 1, "expected PHOENIX-2014-T.SPLIT.corpus.csv"),
        (["--annotations", f"gone/{NAME}"], 1, f"gone/{NAME}: found no such file"),
        (["--seed", "-1"], 2, "seed: found -1; expected 0 or more"),
        (["--flavour", "vanilla"], 2, "--flavour"),
    ],
)
def test_bad_options(run_script, annotations, tmp_path, options, status, message: str) -> None:
    place = ["--annotations", annotations, "--output", tmp_path / "out"]
    finished = run_script("render_synthetic.py", *place, *options)
    assert finished.status == status
    assert message in finished.out + finished.err
    assert not (tmp_path / "out").exists()


def test_too_few_fields(run_script, annotations: Path, tmp_path: Path) -> None:
    annotations.write_text(ROWS + "a-4|a-4/1/*.png|-1|-1|Signer01|WIND\n", encoding="utf-8")
    options = ["--annotations", annotations, "--output", tmp_path / "out"]
    finished = run_script("render_synthetic.py", *options)
    assert finished.status == 1
    assert f"{NAME}:5: found 6 fields; expected 7" in finished.err


@pytest.mark.parametrize("agreement", [False, True])
def test_one_clip_of_the_corpus(run_script, tmp_path: Path, agreement: bool) -> None:
    """As the model saw it, to the pixel."""
    options = ["--clip", "test_signers-00012", "--seed", 5, "--output", tmp_path]
    options += ["--agreement"] if agreement else []
    finished = run_script("render_synthetic.py", *options)
    assert finished.status == 0, finished.err
    clip = read_synthetic("test_signers", seed=5, agreement=agreement)[12]
    assert finished.out == f"wrote {tmp_path / clip.id}: {clip.text}\n"
    assert np.array_equal(VideoSource(tmp_path / clip.id).read(), clip.source.read())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clip", "test-160"], "clip: found 'test-160'; expected test-00000 to test-00159"),
        (["--clip", "valid-00000"], "synthetic corpus: found split 'valid'; expected ('train', "),
        ([], "found annotations None and clip None; expected one of the two"),
        (["--clip", "test-00000", "--annotations", NAME], "clip test-00000; expected one of the"),
        (["--sentences", "2", "--annotations", NAME], f"sentences: found annotations {NAME}"),
        (["--agreement", "--annotations", NAME], f"agreement: found annotations {NAME}; expected"),
    ],
)
def test_no_such_clip(run_script, tmp_path: Path, options: list[str], message: str) -> None:
    finished = run_script("render_synthetic.py", *options, "--output", tmp_path / "out")
    assert finished.status in (1, 2)
    assert message in " ".join(finished.err.replace("│", "").split())
    assert not (tmp_path / "out").exists()


def test_a_video_of_several_sentences(run_script, tmp_path: Path) -> None:
    options = ["--clip", "test-00001", "--sentences", 2, "--output", tmp_path / "talks"]
    finished = run_script("render_synthetic.py", *options)
    assert finished.status == 0 and "test-00001.true.vtt: 2 sentences" in finished.out
    talk = Talk("test-00001", 2)
    cues = read_cues(tmp_path / "talks" / "test-00001.true.vtt")
    for cue, (start, end, clip) in zip(cues, talk.sentences(), strict=True):
        assert (cue.start, cue.end) == pytest.approx((start, end)) and cue.text == clip.text
    shown = VideoSource(tmp_path / "talks" / "test-00001.mp4").read()
    assert len(shown) == len(list(talk.frames()))
