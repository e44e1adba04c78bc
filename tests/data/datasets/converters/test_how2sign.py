from pathlib import Path

import pytest

from slt_fast.data.datasets.converters.how2sign import convert_how2sign
from slt_fast.errors import DataError

HEADER = (
    "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
)


def row(video: str, number: int, start: float, end: float, sentence: str) -> str:
    name = f"{video}_{number}-5-rgb_front"
    times = f"{start}\t{end}"
    return f"{video}\t{video}-5-rgb_front\t{video}_{number}\t{name}\t{times}\t{sentence}"


ROWS = {
    "train": [
        row("-Ab1", 0, 0.0, 0.52, "Hello there."),
        row("-Ab1", 1, 0.52, 1.4, '"So ""this"" is it."'),
        row("-Ab1", 2, 1.4, 7.25, "The end is past the video."),
        row("-Ab1", 3, 1.0, 1.2, 'He said "no".'),
        row("gone", 0, 0.0, 1.0, "No video."),
        row("gone", 1, 1.0, 2.0, "No video either."),
    ],
    "val": [row("cD2", 0, 0.1, 0.3, "One."), row("cD2", 1, 0.31, 0.9, "Two.")],
    "test": [row("eF3", 0, 0.2, 0.4, "Three."), row("eF3", 1, 0.45, 0.9, "Four.")],
}


@pytest.fixture
def root(tmp_path: Path, write_video, write_text) -> Path:
    root = tmp_path / "How2Sign"
    for split, name in (("train", "-Ab1"), ("val", "cD2"), ("test", "eF3")):
        write_video(root / f"video_level/{split}/rgb_front/raw_videos/{name}-5-rgb_front.mp4")
        write_text(table(root, split), [HEADER, *ROWS[split]])
    return root


def table(root: Path, split: str) -> Path:
    folder = root / f"sentence_level/{split}/text/en/raw_text/re_aligned"
    return folder / f"how2sign_realigned_{split}.csv"


def test_sentences_are_cut_out_of_whole_videos(root: Path, clips_of) -> None:
    conversion, clips = clips_of(convert_how2sign, root)
    assert [(clip.split, clip.source.start, clip.source.end) for clip in clips.values()] == [
        ("train", 0, 13),
        ("train", 13, 35),
        ("train", 35, None),
        ("train", 25, 30),
        ("dev", 3, 8),
        ("dev", 8, 23),
        ("test", 5, 10),
        ("test", 12, 23),
    ]
    assert clips["-Ab1_1-5-rgb_front"].text == 'So "this" is it.'
    assert clips["-Ab1_3-5-rgb_front"].text == 'He said "no".'
    video = "video_level/train/rgb_front/raw_videos/gone-5-rgb_front.mp4"
    assert [str(error) for error in conversion.missing] == [
        f"{table(root, 'train')}:{line}: found no video; expected {root / video}" for line in (6, 7)
    ]
    assert [str(error) for error in conversion.remarks] == [
        f"{table(root, 'train')}:4: found END_REALIGNED '7.25'; expected the video's end at most "
        "(whose 50 frames last 2.00 seconds); cut there"
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("-Ab1", 9, 2.5, 3, "Late."), "START_REALIGNED '2.5'; .* frames last 2.00 seconds"),
        (row("-Ab1", 9, 1, 0.5, "Back."), "START_REALIGNED '1' and END_REALIGNED '0.5'; .* later"),
        (row("-Ab1", 9, 0, 1, "x").replace("\t0\t", "\tsoon\t"), "START_REALIGNED 'soon'; exp"),
        (row("-Ab1", 9, 0, 1, ""), "no SENTENCE; expected a value for SENTENCE"),
        (row("-Ab1", 0, 0, 1, "x"), "id '-Ab1_0-5-rgb_front' again"),
        (row("../../../../../a", 0, 0, 1, "x"), "video .*; expected a path inside the data set"),
        ("a\tb", "2 fields; expected 7"),
    ],
)
def test_bad_rows(root: Path, write_text, clips_of, bad: str, message: str) -> None:
    path = write_text(table(root, "train"), [HEADER, ROWS["train"][0], bad])
    with pytest.raises(DataError, match=f"^{path}:3: found {message}"):
        clips_of(convert_how2sign, root)
    errors: list[DataError] = []
    _, clips = clips_of(convert_how2sign, root, errors.append)
    assert len(clips) == 5 and len(errors) == 1


def test_a_missing_table(root: Path, clips_of) -> None:
    table(root, "val").unlink()
    with pytest.raises(DataError, match=f"{table(root, 'val')}: found no such file"):
        clips_of(convert_how2sign, root)
    errors: list[DataError] = []
    _, clips = clips_of(convert_how2sign, root, errors.append)
    assert {clip.split for clip in clips.values()} == {"train", "test"} and len(errors) == 1
