import json
import re
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.filter import Graph

from slt_fast.data.datasets.manifest import read_manifest
from slt_fast.data.video.decoding import Video
from slt_fast.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "clips" / "b").mkdir(parents=True)
    return tmp_path


def write(folder: Path, *lines: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ranges_of(manifest: Path) -> list[tuple[int | None, int | None]]:
    return [(clip.source.start, clip.source.end) for clip in read_manifest(manifest, "train")]


def test_times_in_seconds(folder: Path) -> None:
    write_video(folder / "v.avi", rate=12.5, num_frames=40)
    write_images(folder / "clips" / "b", 76)
    header = "id,video,text,start_seconds,end_seconds,fps"
    rows = ["a,clips/b,x,1.5,3.02,25", "b,clips/b,x,,0.5,29.97", "c,v.avi,x,0.4,2", "d,v.avi,x,,"]
    path = write(folder, header, *(row + "," * (5 - row.count(",")) for row in rows))
    assert ranges_of(path) == [(38, 76), (None, 15), (5, 25), (None, None)]
    row = {"id": "a", "video": "v.avi", "text": "x", "end_seconds": 2.0}
    assert ranges_of(write(folder, json.dumps(row), name="m.jsonl")) == [(None, 25)]


def test_times_of_a_video_that_pauses(shared_data: Path, tmp_path: Path) -> None:
    """Frames 0 to 19 begin at 0 to 0.76 seconds, frames 20 to 39 at 2 to 2.76."""
    (tmp_path / "v.webm").symlink_to(shared_data / "awkward" / "pause.webm")
    times = ["0.36,2.08", "1.9,2.8", ",1.3", "0.5,2.8"]
    rows = [f"{number},v.webm,x,{row}" for number, row in enumerate(times)]
    path = write(tmp_path, "id,video,text,start_seconds,end_seconds", *rows)
    assert ranges_of(path) == [(9, 22), (20, 40), (None, 20), (13, 40)]


@pytest.fixture
def demuxed(monkeypatch) -> list[str]:
    """Names of the videos whose packets are read, in order."""
    names: list[str] = []
    real = Video.times

    def times(self: Video) -> list[float]:
        names.append(self._path.name)
        return real(self)

    monkeypatch.setattr(Video, "times", times)
    return names


def test_a_video_is_read_once_for_all_rows_and_splits(tmp_path: Path, demuxed) -> None:
    videos = [f"{number}.avi" for number in range(12)]
    for video in videos:
        write_video(tmp_path / video, rate=20, num_frames=40)
    rows = [
        f"{second}-{video},{video},x,{second},{second + 1},{split}"
        for second, split in enumerate(["train", "dev"])
        for video in videos
    ]
    path = write(tmp_path, "id,video,text,start_seconds,end_seconds,split", *rows)
    for split, first in (("train", 0), ("dev", 20)):
        clips = read_manifest(path, split)
        assert {(clip.source.start, clip.source.end) for clip in clips} == {(first, first + 20)}
    assert demuxed == videos
    write_video(tmp_path / videos[3], rate=40, num_frames=80)
    assert read_manifest(path, "dev")[3].source.start == 40
    assert demuxed == [*videos, videos[3]]


@pytest.mark.parametrize(
    "name", ["base.mp4", "vfr.mp4", "pause.webm", "late.mkv", "mixedint.ts", "inter.mp4", "v.avi"]
)
def test_times_give_the_frames_of_ffmpegs_own_cut(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    path, steps = tmp_path / name, range(1, 56)
    if name == "v.avi":
        write_video(path, rate=25, num_frames=40)
    else:
        path.symlink_to(shared_data / "awkward" / name)
    times = [(0.0071 * step, 0.0071 * step + 0.33) for step in steps]
    rows = [f"{start},{name},x,{start:.4f},{end:.4f}" for start, end in times]
    found = ranges_of(write(tmp_path, "id,video,text,start_seconds,end_seconds", *rows))
    assert found == [cut(path, f"{start:.4f}", f"{end:.4f}") for start, end in times]


@pytest.mark.parametrize("name", ["base.mp4", "vfr.mp4", "pause.webm"])
def test_a_cut_has_the_frames_from_start_to_before_end(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).symlink_to(shared_data / "awkward" / name)
    with av.open(str(tmp_path / name)) as container:
        begins = [frame.time for frame in container.decode(video=0)]
    path = write(tmp_path, "id,video,text,start_time,end_time", f"a,{name},x,00:00:00.2,00:00:00.6")
    (clip,) = read_manifest(path, "train")
    inside = [number for number, begin in enumerate(begins) if 0.2 <= begin < 0.6]
    assert (clip.source.start, clip.source.end) == (inside[0], inside[-1] + 1)
    assert len(clip.source.read()) == len(inside)


def cut(path: Path, start: str, end: str) -> tuple[int, int]:
    """Returns the range of frames that FFmpeg's filter for -ss and -to lets through."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        graph, first = Graph(), frames[0].time
        source = graph.add_buffer(template=stream)
        limits = f"start={first + float(start):.6f}:end={first + float(end):.6f}"
        trim, sink = graph.add("trim", limits), graph.add("buffersink")
        source.link_to(trim)
        trim.link_to(sink)
        graph.configure()
        kept = []
        for number, frame in enumerate(frames):
            graph.push(frame)
            with suppress(av.BlockingIOError, av.EOFError):
                graph.pull()
                kept.append(number)
    return kept[0], kept[-1] + 1


@pytest.mark.parametrize(
    ("suffix", "start", "end"),
    [
        ("seconds", "0.4", "1.2"),
        ("milliseconds", "400", "1.2e3"),
        ("time", "00:00:00.400", "00:00:01.2"),
    ],
)
def test_units_agree(folder: Path, suffix: str, start: str, end: str) -> None:
    write_images(folder / "clips" / "b", 76)
    header = f"id,video,text,fps,start_{suffix},end_{suffix}"
    assert ranges_of(write(folder, header, f"a,clips/b,x,25,{start},{end}")) == [(10, 30)]


def test_hours(folder: Path) -> None:
    write_images(folder / "clips" / "b", 76)
    row = "a,clips/b,x,0.01,01:02:03.5,01:05:00"
    path = write(folder, "id,video,text,fps,start_time,end_time", row)
    assert ranges_of(path) == [(38, 39)]


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (["a,a.mp4,x,,,1,2,,", "b,a.mp4,x,3,,,,,"], "start, start_seconds, end_seconds"),
        (["a,a.mp4,x,1,,,2,,"], "start, end_seconds"),
        (["a,a.mp4,x,,,1,,5,"], "start_seconds, start_milliseconds"),
        (["a,a.mp4,x,,,,,5,00:00:01"], "start_milliseconds, end_time"),
    ],
)
def test_times_in_several_units(folder: Path, rows: list[str], columns: str) -> None:
    header = "id,video,text,start,end,start_seconds,end_seconds,start_milliseconds,end_time"
    path = write(folder, header, *rows)
    message = f"^{re.escape(str(path))}: found times in the columns {columns}; expected .* one unit"
    with pytest.raises(DataError, match=message):
        read_manifest(path, "train", on_error=lambda error: None)


def test_times_of_a_video_without_a_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", rate=25, num_frames=3)
    content = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.mjpeg").write_bytes(content[content.index(b"\xff\xd8") :])  # a raw stream
    path = write(tmp_path, "id,video,text,start_seconds", "a,v.mjpeg,x,0.04")
    message = r"csv:2: found start_seconds of a video without a frame rate; expected .* in start"
    with pytest.raises(DataError, match=message):
        read_manifest(path, "train")


def write_images(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number}.png").touch()


def write_video(path: Path, *, rate: float, num_frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (32, 32))
    for _ in range(num_frames):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("start_seconds", "clips/b,,1.5", "found start_seconds of a folder without a frame rate"),
        ("start_seconds", "clips/b,25,-1", "found start_seconds '-1'; expected seconds from 0"),
        ("start_seconds", "clips/b,25,00:01", "found start_seconds '00:01'; expected seconds"),
        ("end_seconds", "clips/b,25,inf", "found end_seconds 'inf'; expected seconds from 0"),
        ("end_seconds", "clips/b,25,1e300", "found end_seconds '1e300'; expected seconds from 0"),
        ("end_milliseconds", "clips/b,25,1 s", "found end_milliseconds '1 s'; .* such as 12480"),
        ("start_time", "clips/b,25,00:01", "found start_time '00:01'; expected hours, minutes and"),
        ("start_time", "clips/b,25,00:01:60", "found start_time '00:01:60'; expected hours"),
        ("start_time", "clips/b,25,1.5", "found start_time '1.5'; expected hours"),
        ("end_seconds", "clips/b,25,4.1", "found end_seconds '4.1'; .* 100 frames last 4.00 sec"),
        ("start_seconds", "clips/b,25,4", "found start_seconds '4'; .* frames last 4.00 seconds"),
        ("start_time", "clips/b,25,00:00:04", "found start_time '00:00:04'; .* last 4.00 seconds"),
        ("end_seconds", "v.avi,,3.3", "found end_seconds '3.3'; .* 40 frames last 3.20 seconds"),
        ("start_milliseconds", "v.avi,,9e3", "found start_milliseconds '9e3'; .* last 3.20 sec"),
        (
            "start_seconds,end_seconds",
            "clips/b,25,2,1",
            "found start_seconds '2' and end_seconds '1'; expected a later end, by a frame",
        ),
        (
            "start_time,end_time",
            "clips/b,25,00:00:02.01,00:00:02.03",
            "found start_time '00:00:02.01' and end_time '00:00:02.03'; expected a later end",
        ),
        (
            "start",
            "clips/b,25,1.5",
            r"found start '1.5'; expected a frame number, from 0 \(times go into the column "
            r"start_seconds, start_milliseconds or start_time\)",
        ),
    ],
)
def test_bad_times(folder: Path, columns: str, row: str, message: str) -> None:
    write_images(folder / "clips" / "b", 100)
    write_video(folder / "v.avi", rate=12.5, num_frames=40)
    path = write(folder, f"id,text,video,fps,{columns}", f"x,t,{row}")
    with pytest.raises(DataError, match=rf"m\.csv:2: {message}"):
        read_manifest(path, "train")
