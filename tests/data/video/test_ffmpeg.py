"""Whatever PyAV raises at a damaged file is an error that names the file."""

from pathlib import Path

import av
import numpy as np
import pytest

from slt_fast.data.video import decoding
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

NUM_FRAMES = 8
CONTAINERS = [
    ("a.mp4", "mpeg4"),
    ("a.mov", "libx264"),
    ("a.avi", "mjpeg"),
    ("a.mkv", "mpeg4"),
    ("a.webm", "libvpx"),
    ("a.gif", "gif"),
    ("a.ts", "mpeg2video"),
    ("a.mpg", "mpeg2video"),
    ("a.flv", "flv"),
    ("a.wmv", "wmv2"),
    ("a.m4v", "mpeg4"),
    ("a.h264", "libx264"),
]


def write_video(path: Path, codec: str, **metadata: str) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=25, width=32, height=32)
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        for index in range(NUM_FRAMES):
            picture = np.full((32, 32, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_changed_bytes(tmp_path: Path, name: str, codec: str) -> None:
    source = VideoSource(write_video(tmp_path / name, codec))
    assert len(source.read()) == NUM_FRAMES
    whole = np.frombuffer(source.path.read_bytes(), np.uint8)
    generator, num_refused = np.random.default_rng(0), 0
    for _ in range(30):
        content = whole.copy()
        head = int(generator.choice([200, 800, len(whole)]))  # most of what matters is there
        positions = generator.integers(0, min(head, len(whole)), 4)
        content[positions] = generator.integers(0, 256, 4)
        source.path.write_bytes(content.tobytes())
        for call in (source.read, source.num_frames, source.frame_rate):
            try:
                call()
            except DataError:
                num_refused += 1
    assert num_refused > 0


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
def test_titles_that_are_not_utf8(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, "mpeg4", title="Mueller")
    content = path.read_bytes()
    assert content.count(b"Mueller") == 1
    path.write_bytes(content.replace(b"Mueller", b"M\xfcllers"))
    assert len(VideoSource(path).read()) == VideoSource(path).num_frames() == NUM_FRAMES


def test_a_codec_that_ffmpeg_does_not_know(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", "mpeg4")
    content = path.read_bytes()
    assert b"FMP4" in content
    path.write_bytes(content.replace(b"FMP4", b"~~~~"))
    for call in (VideoSource(path).read, VideoSource(path).num_frames):
        with pytest.raises(DataError, match="found pictures of a codec that FFmpeg does not know"):
            call()


@pytest.mark.parametrize("error", [IndexError, AttributeError, TypeError, UnicodeError, KeyError])
def test_errors_of_pyav_and_our_own(tmp_path: Path, monkeypatch, error: type[Exception]) -> None:
    """The first name the file; the second keep their traceback."""

    def fails(*arguments: object, **options: object) -> None:
        raise error("broken")

    source = VideoSource(write_video(tmp_path / "a.mp4", "mpeg4"))
    message = rf"a\.mp4: found no video \({error.__name__} in PyAV: '?broken'?\); expected a video"
    with monkeypatch.context() as patch, pytest.raises(DataError, match=message):
        patch.setattr(av, "open", fails)
        source.read()
    monkeypatch.setattr(decoding, "check_length", fails)
    with pytest.raises(error, match="^'?broken'?$"):
        source.read()
