from pathlib import Path

import av
import cv2
import pytest


def num_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_draws_a_sheet_and_a_video(run_script, checkpoint, manifest: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("look.png", "look.mp4", "look.webp")]
    video = manifest.parent / "first.mp4"
    search = ["--beam-size", 2, "--length-penalty", -1]
    options = ["--height", 40, "--columns", 3, "--output", *outputs, *search]
    finished = run_script("visualize_attention.py", video, "--checkpoint", checkpoint, *options)
    assert finished.status == 0, finished.err
    translated = run_script("translate.py", video, "--checkpoint", checkpoint, *search)
    said = translated.out.splitlines()[0]
    lines = finished.out.splitlines()
    assert lines[0] == said and lines[1].startswith("far attention: ")
    assert lines[2] == "gamma 0: the attention changes the maps by 0.00%"
    assert lines[3].startswith("That is hardly anything")
    assert lines[4:] == [f"wrote {path}" for path in outputs]
    assert cv2.imread(str(outputs[0])).shape[1] >= 3 * 44
    whole, animation = cv2.imreadanimation(str(outputs[2]))
    assert whole and num_frames(outputs[1]) == len(animation.frames) == num_frames(video)


def test_draws_a_folder_and_a_place(run_script, checkpoint, manifest: Path, tmp_path: Path) -> None:
    sheets = []
    for place in ((0, 0), (1, 1)):
        output = tmp_path / f"{place}.png"
        video = [manifest.parent / "second", "--checkpoint", checkpoint]
        options = ["--query", *place, "--output", output, "--height", 40]
        assert run_script("visualize_attention.py", *video, *options).status == 0
        sheets.append(cv2.imread(str(output)))
    assert sheets[0].shape == sheets[1].shape and (sheets[0] != sheets[1]).any()


def test_draws_a_clip_of_the_synthetic_corpus(run_script, checkpoint, tmp_path: Path) -> None:
    options = ["--checkpoint", checkpoint, "--output", tmp_path / "a.png", "--height", 40]
    finished = run_script("visualize_attention.py", *options)
    assert finished.status == 0 and (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "a.avi"], "a.avi: found suffix '.avi'"),
        (["--beam-size", "0", "--output", "{folder}/a.png"], "beam_size: found 0; expected"),
        (["--query", "0.5", "1.5"], "query: found (0.5, 1.5); expected"),
        (["--height", "8", "--output", "{folder}/a.png"], "height: found 8; expected at least 32"),
        (["--output", "{folder}/gone/a.png"], "gone: found no such folder"),
    ],
)
def test_bad_options(run_script, checkpoint, tmp_path: Path, options, message: str) -> None:
    filled = [option.format(folder=tmp_path) for option in options]
    finished = run_script("visualize_attention.py", "--checkpoint", checkpoint, *filled)
    assert finished.status and message in finished.err + finished.out
    assert not list(tmp_path.iterdir())


def test_the_video_is_not_overwritten(run_script, checkpoint, manifest: Path, tmp_path) -> None:
    video, folder = manifest.parent / "first.mp4", manifest.parent / "second"
    before = video.read_bytes()
    (tmp_path / "link.mp4").symlink_to(video)
    for read, output in (
        (video, video),
        (video, tmp_path / "link.mp4"),
        (folder, folder / "look.png"),
    ):
        options = [read, "--checkpoint", checkpoint, "--output", tmp_path / "look.png", output]
        finished = run_script("visualize_attention.py", *options)
        found = f"--output: found {output}, which belongs to the video; expected another"
        assert finished.status == 1 and found in finished.err
    assert video.read_bytes() == before and not (folder / "look.png").exists()
