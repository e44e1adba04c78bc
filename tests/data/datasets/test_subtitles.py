from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.crop import Crop
from slt_fast.data.datasets.manifest import manifest_splits, read_manifest
from slt_fast.data.datasets.subtitles import read_cues
from slt_fast.errors import DataError

VTT = """WEBVTT - a title
Kind: captions

NOTE
made up

STYLE
::cue { color: red }

intro
00:00.200 --> 00:00.400 align:start position:0%
<v Anna><c.yellow>one</c> &amp;
two<00:00:00.300></v>

00:00:00.400 --> 00:00:00.800

100:00:01.000 --> 100:00:02.500
 three \t four
"""
SRT = """1
00:00:00,200 --> 00:00:00,400 X1:40 X2:600
{\\an8}<i>one</i> <font color="red">&amp;</font>
two

2
00:00:00,400 --> 00:00:00.800


00:00:00,800 --> 00:00:01,200
3 < 4
"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_webvtt(tmp_path: Path, encoding: str, newline: str) -> None:
    cues = read_cues(write(tmp_path / "a.vtt", VTT.replace("\n", newline), encoding))
    assert [(cue.number, cue.line, cue.text) for cue in cues] == [
        (1, 11, "one & two"),
        (3, 17, "three four"),
    ]
    assert [(cue.start, cue.end) for cue in cues] == [(0.2, 0.4), (360001, 360002.5)]
    assert cues[0].timing == "00:00.200 --> 00:00.400 align:start position:0%"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_subrip(tmp_path: Path, encoding: str) -> None:
    cues = read_cues(write(tmp_path / "a.SRT", SRT, encoding))
    assert [(cue.number, cue.text) for cue in cues] == [(1, "one &amp; two"), (3, "3 < 4")]
    assert [(cue.start, cue.end) for cue in cues] == [(0.2, 0.4), (0.8, 1.2)]


def test_cues_without_text_are_listed(tmp_path: Path, caplog) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n<i> </i>\n\n" + SRT
    path = write(tmp_path / "a.srt", text)
    assert len(read_cues(path)) == 2
    assert caplog.messages == [f"{path}: left out 2 cues without text (lines 2, 11)"]


CUE = "00:00:01.000 --> 00:00:02.000"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.vtt", f"{CUE}\nx\n", ":1: found .*; expected WEBVTT in the first line"),
        ("a.vtt", "", ":1: found ''; expected WEBVTT"),
        ("a.vtt", "WEBVTTx\n", ":1: found 'WEBVTTx'; expected WEBVTT"),
        ("a.vtt", f"WEBVTT\n{CUE}\nx\n", ":2: found '.*'; expected an empty line before each cue"),
        ("a.vtt", "WEBVTT\n", "found 0 cues, none with a text; expected at least one"),
        ("a.vtt", f"WEBVTT\n\n{CUE}\n<i></i>\n", "found 1 cues, none with a text"),
        ("a.vtt", "WEBVTT\n\n00:01,0 --> 00:02\nx", r":3: found '.*'; .* 00:00:04\.200 --> 00:"),
        ("a.vtt", f"WEBVTT\n\nname\nname\n{CUE}\nx", ":4: found 'name'; expected a timing such as"),
        (
            "a.vtt",
            "WEBVTT\n\n00:99.000 --> 01:60.000\nx",
            ":3: found '00:99.000 --> 01:60.000'; exp",
        ),
        (
            "a.vtt",
            "WEBVTT\n\n00:02.000 --> 00:02.000\nx",
            ":3: found .*; expected an end after the",
        ),
        ("a.srt", f"1\n{CUE}\nx\n\ny", ":5: found 'y'; expected a timing such as 00:00:04,200"),
        (
            "a.srt",
            f"1\n{CUE}\nx\n2\n{CUE}\ny",
            ":5: found '.*'; expected an empty line before each",
        ),
        ("a.srt", "1\n00:01,000 --> 00:02,000\nx", ":2: found '00:01,000 --> 00:02,000'; expected"),
        ("a.srt", "1\n00:00:01,5 --> 00:00:02,5\nx", ":2: found '00:00:01,5 --> 00:00:02,5'; exp"),
        ("a.ttml", "x", "found suffix '.ttml'; expected .vtt or .srt"),
    ],
)
def test_bad_subtitles(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(
        DataError, match=f"^{path}{message if message[0] == ':' else ': ' + message}"
    ):
        read_cues(path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(f"1\n{CUE}\ngr\u00fc\u00dfe\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.srt:3: found byte 0xfc; expected UTF-8 text"):
        read_cues(path)
    with pytest.raises(DataError, match=r"b\.srt: found no such file; expected subtitles"):
        read_cues(tmp_path / "b.srt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of 40 frames, 25 a second, and its subtitles."""
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
    for number in range(40):
        writer.write(np.full((32, 32, 3), number, np.uint8))
    writer.release()
    write(tmp_path / "v.srt", SRT)
    return tmp_path


def manifest(folder: Path, *lines: str) -> Path:
    return write(folder / "m.csv", "\n".join(lines))


def test_a_row_gives_a_clip_a_cue(folder: Path) -> None:
    path = manifest(
        folder,
        "id,video,subtitles,text,signer,split,crop_x,crop_y,crop_width,crop_height",
        "a,v.avi,v.srt,,anna,dev,0,0,8,8",
        "b,v.avi,,whole,,train,,,,",
    )
    assert manifest_splits(path) == ["dev", "train"]
    first, second = read_manifest(path, "dev")
    assert (first.id, first.text, first.signer) == ("a-1", "one &amp; two", "anna")
    assert (second.id, second.text, second.glosses) == ("a-3", "3 < 4", None)
    assert (first.origin, second.origin) == (f"{folder}/v.srt:2", f"{folder}/v.srt:10")
    assert (first.source.start, first.source.end) == (5, 10)
    assert (second.source.start, second.source.end) == (20, 30)
    assert first.source.crop == Crop(0, 0, 8, 8) and len(second.source.read()) == 10
    (whole,) = read_manifest(path, "train")
    assert (whole.id, whole.source.start, whole.text) == ("b", None, "whole")


def test_subtitles_are_enough(folder: Path) -> None:
    path = manifest(folder, "id,video,subtitles", "a,v.avi,v.srt")
    assert [clip.text for clip in read_manifest(path, "train")] == ["one &amp; two", "3 < 4"]
    manifest(folder, "id,video,subtitles", "a,gone.avi,v.srt")
    clips = read_manifest(path, "train", needs_frames=False)
    assert [(clip.id, clip.source.start) for clip in clips] == [("a-1", None), ("a-3", None)]


def test_cues_that_are_not_in_the_video_can_be_left_out(folder: Path) -> None:
    late = "00:00:01,000 --> 00:00:02,000\nlate\n\n00:00:09,000 --> 00:00:10,000\nlater\n\n"
    short = "00:00:00,090 --> 00:00:00,095\nshort\n\n"
    write(folder / "v.srt", late + short + SRT)
    path = manifest(folder, "id,video,subtitles", "a,v.avi,v.srt")
    errors: list[DataError] = []
    assert [clip.id for clip in read_manifest(path, "train", on_error=errors.append)] == [
        "a-4",
        "a-6",
    ]
    lasting = "expected a time in the video, whose 40 frames last 1.60 seconds"
    assert [str(error).removeprefix(f"{folder}/v.srt:") for error in errors] == [
        f"1: found cue '00:00:01,000 --> 00:00:02,000'; {lasting}",
        f"4: found cue '00:00:09,000 --> 00:00:10,000'; {lasting}",
        "7: found cue '00:00:00,090 --> 00:00:00,095'; expected a later end, by a frame or more",
    ]
    with pytest.raises(DataError, match="srt:1: found cue"):
        read_manifest(path, "train")


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("text", "v.srt,x", "found text and subtitles; expected one of them"),
        ("gloss", "v.srt,X", "found gloss and subtitles; expected one of them"),
        ("start_time", "v.srt,00:00:01", "found start_time and subtitles; expected one of them"),
        ("text", ",", "found no text; expected a value for text"),
        ("text", "../v.srt,", "found subtitles '../v.srt'; expected a path inside the manifest's"),
        ("text", "no.srt,", "found subtitles 'no.srt'; expected a file that ends in .vtt or .srt"),
        ("text", "v.avi,", "found subtitles 'v.avi'; expected a file that ends in .vtt or .srt"),
    ],
)
def test_bad_rows(folder: Path, columns: str, row: str, message: str) -> None:
    path = manifest(folder, f"id,video,subtitles,{columns}", f"a,v.avi,{row}")
    with pytest.raises(DataError, match=rf"m\.csv:2: {message}"):
        read_manifest(path, "train")


def test_cues_have_ids_of_their_own(folder: Path) -> None:
    path = manifest(folder, "id,video,subtitles,text", "a,v.avi,v.srt,", "a-3,v.avi,,x")
    message = r"m\.csv:3: found id 'a-3' again; expected an id not used in .*v\.srt:10"
    with pytest.raises(DataError, match=message):
        read_manifest(path, "train")
