import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from slt_fast.data import limits
from slt_fast.data.cameras import Camera
from slt_fast.data.clip import AnnotatedClip, check_ctc_length, minimum_ctc_frames
from slt_fast.data.video import decoding
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

NUM_FRAMES, HEIGHT, WIDTH = 12, 48, 64


def frame(index: int) -> np.ndarray:
    """RGB: red falls and blue rises with the index, green tells left from right."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 0] = 240 - 20 * index
    image[:, : WIDTH // 2, 1] = 100
    image[..., 2] = 20 * index
    return image


def write_video(path: Path, codec: str) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for index in range(NUM_FRAMES):
        writer.write(frame(index)[..., ::-1].copy())
    writer.release()
    return path


def write_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), frame(index)[..., ::-1])
    return folder


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


VIDEOS = [
    ("a.mp4", "mp4v"),
    ("a.mov", "mp4v"),
    ("a.avi", "MJPG"),
    ("a.mkv", "MJPG"),
    ("a.mpg", "MPG2"),
]


@pytest.mark.parametrize(("name", "codec"), VIDEOS)
def test_video_frames_are_rgb_and_counted(tmp_path: Path, name: str, codec: str) -> None:
    source = VideoSource(write_video(tmp_path / name, codec))
    frames = source.read()
    assert frames.dtype == np.uint8 and frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    assert source.num_frames() == NUM_FRAMES
    expected = np.stack([frame(index) for index in range(NUM_FRAMES)])
    assert np.abs(frames.astype(int) - expected)[:, :, 4:28].max() < 40  # lossy; away from the edge


@pytest.mark.parametrize(("name", "codec"), VIDEOS[:1] + VIDEOS[3:])
def test_start_and_end_are_frame_numbers(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, codec)
    part = VideoSource(path, start=3, end=7)
    assert part.num_frames() == 4
    np.testing.assert_array_equal(part.read(), VideoSource(path).read()[3:7])
    assert VideoSource(path, start=10).num_frames() == len(VideoSource(path, start=10).read()) == 2


@pytest.mark.parametrize(("name", "codec"), VIDEOS[:4])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_truncated_video(tmp_path: Path, name: str, codec: str, share: float) -> None:
    source = VideoSource(cut(write_video(tmp_path / name, codec), share))
    for call in (source.read, source.num_frames):
        with pytest.raises(
            DataError, match=rf"{name}: found \d+ bytes; expected \d+ bytes.*truncated"
        ):
            call()


def test_video_cut_by_an_edit_list_is_whole(tmp_path: Path, shared_data: Path) -> None:
    content = bytearray((shared_data / "clips/autsl/signer0_sample1000_color.mp4").read_bytes())
    position = content.index(b"elst") + 16  # media time of the first edit
    (start,) = struct.unpack_from(">i", content, position)
    struct.pack_into(">i", content, position, start + 2000)
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(content)
    assert 30 < len(VideoSource(path).read()) < 43


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("autsl/signer0_sample1000_color.mp4", (43, 512, 512, 3)),
        ("dailymoth/0043626-2023.1.4.gif", (181, 224, 224, 3)),
        ("lsat/clip1.gif", (72, 180, 320, 3)),
        ("lsat/clip2.gif", (24, 180, 320, 3)),
        ("pose/test_video.mp4", (58, 720, 540, 3)),
        ("phoenix14t_frames", (2, 260, 210, 3)),
    ],
)
def test_real_clips(tmp_path: Path, shared_data: Path, name: str, shape: tuple[int, ...]) -> None:
    path = shared_data / "clips" / name
    source = VideoSource(path)
    assert source.num_frames() == shape[0]
    assert source.read().shape == shape
    if path.is_file():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        with pytest.raises(DataError, match="truncated"):
            VideoSource(cut(copy, 0.7)).read()


AWKWARD = ["av1.mp4", "base.mp4", "flagged.mp4", "inter.mp4", "late.mkv", "mixedint.ts"]
AWKWARD += ["pause.webm", "rot90.mp4", "sizechange.ts", "vfr.mp4"]


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_videos_decode_as_ffmpeg_does(shared_data: Path, name: str) -> None:
    """To mean colours of FFmpeg's own command, which also scales to the first picture's size."""
    expected = json.loads((shared_data / "awkward" / "expected.json").read_text())[name]
    source = VideoSource(shared_data / "awkward" / name)
    frames = source.read()
    W, H = expected["sizes"][0]
    assert frames.shape == (expected["frames"], H, W, 3) and source.num_frames() == len(frames)
    found = frames.mean((1, 2), dtype=np.float64)
    np.testing.assert_allclose(found, expected["mean_rgb"], rtol=0, atol=0.1)


@pytest.mark.parametrize("name", ["late.mkv", "mixedint.ts", "sizechange.ts"])
def test_packets_are_counted_where_no_frames_are_listed(shared_data: Path, name: str) -> None:
    assert VideoSource(shared_data / "awkward" / name).estimated_frames() == 40


def test_a_rotated_video_is_upright(shared_data: Path) -> None:
    lying = VideoSource(shared_data / "awkward" / "base.mp4").read()
    upright = VideoSource(shared_data / "awkward" / "rot90.mp4").read()
    np.testing.assert_array_equal(upright, np.rot90(lying, axes=(1, 2)))


def test_a_change_of_size_is_told_once(shared_data: Path, tmp_path: Path, caplog) -> None:
    path = tmp_path / "a\x1b[2J.ts"
    path.write_bytes((shared_data / "awkward" / "sizechange.ts").read_bytes())
    for _ in range(2):
        VideoSource(path).read()
    (message,) = caplog.messages
    assert message.isprintable()
    assert "found frames of 160x120 pixels after frames of 320x240; they are scaled" in message


def write_streams(path: Path, *streams: tuple[str, int, int]) -> Path:
    """A file with streams (codec, width, height), each as bright as it is wide; 0: silence."""
    with av.open(str(path), "w") as container:
        for codec, W, H in streams:
            if W == 0:
                stream = container.add_stream(codec, rate=44100)
            else:
                stream = container.add_stream(codec, rate=25, width=W, height=H)
                stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        for stream, (codec, W, H) in zip(container.streams, streams, strict=True):
            if codec == "png":
                stream.disposition = Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.full((H, W, 3), W / 2, np.uint8)) if W else None
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.int16), "s16", "mono")
            silence.rate = 44100
            for _ in range(1 if codec == "png" else 5):
                container.mux(stream.encode(picture or silence))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("largest", [0, 1])
def test_the_stream_of_the_most_pixels_is_read(tmp_path: Path, caplog, largest: int) -> None:
    sizes = [("mpeg4", 64, 48), ("mpeg4", 320, 240)]
    path = write_streams(tmp_path / "a.mkv", *(sizes[::-1] if largest == 0 else sizes))
    for _ in range(2):
        frames = VideoSource(path).read()
    assert frames.shape == (5, 240, 320, 3) and abs(frames.mean() - 160) < 3
    (message,) = (text for text in caplog.messages if "streams" in text)
    assert message == f"{path}: found 2 video streams; read the one of 320x240 pixels"


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.flac", "flac")])
def test_the_cover_of_a_sound_is_no_video(tmp_path: Path, name: str, codec: str) -> None:
    source = VideoSource(write_streams(tmp_path / name, ("png", 64, 48), (codec, 0, 0)))
    for call in (source.read, source.num_frames):
        with pytest.raises(DataError, match="found a picture attached to sound; expected a video"):
            call()


def test_yuv4mpeg_is_no_text(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.y4m", ("rawvideo", 320, 240))
    assert b"\0" not in path.read_bytes()
    assert VideoSource(path).read().shape == (5, 240, 320, 3)


def test_a_rate_that_cannot_be_is_not_believed(tmp_path: Path) -> None:
    source = VideoSource(write_streams(tmp_path / "a.dv", ("dvvideo", 720, 576)))
    assert source.frame_rate() == pytest.approx(25)  # FFmpeg says 60000
    assert len(source.at_rate(12.5).read()) == source.at_rate(12.5).num_frames() == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.txt", b"id,video,text\n" * 50),
        ("noise.mp4", bytes(range(256)) * 9),
    ],
)
def test_files_that_are_no_video(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for call in (VideoSource(path).read, VideoSource(path).num_frames):
        with pytest.raises(DataError, match=f"{name}: found .*; expected a video file"):
            call()


def test_missing_file(tmp_path: Path) -> None:
    for call in (
        VideoSource(tmp_path / "no.mp4").read,
        VideoSource(tmp_path / "no.mp4").num_frames,
    ):
        with pytest.raises(DataError, match=r"no\.mp4: found no such file; expected a video file"):
            call()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-3, None, "found start -3; expected 0 or more"),
        (5, 5, "found start 5 and end 5; expected a later end"),
        (5, 2, "found start 5 and end 2; expected a later end"),
        (None, 0, "found start 0 and end 0; expected a later end"),
    ],
)
def test_range_that_is_none(start: int | None, end: int | None, message: str) -> None:
    with pytest.raises(DataError, match=f"^a.mp4: {message}$"):
        VideoSource(Path("a.mp4"), start, end)


@pytest.mark.parametrize("value", [1.5, 2.0, True, "3"])
@pytest.mark.parametrize("name", ["start", "end"])
def test_frames_are_counted_in_whole_numbers(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"found {name} {value!r}; expected a whole number or None"):
        VideoSource(Path("a.mp4"), **{name: value})
    assert VideoSource(Path("a.mp4"), np.int64(3), np.uint8(5)) == VideoSource("a.mp4", 3, 5)


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(None, 13, 13), (12, None, 13), (20, 30, 30)]
)
@pytest.mark.parametrize("kind", ["video", "folder"])
def test_range_past_the_end(
    tmp_path: Path, kind: str, start: int | None, end: int | None, expected: int
) -> None:
    if kind == "video":
        path = write_video(tmp_path / "a.mp4", "mp4v")
    else:
        path = write_folder(tmp_path / "a", [f"{index:02}.png" for index in range(NUM_FRAMES)])
    source = VideoSource(path, start, end)
    with pytest.raises(DataError, match=f"found 12 frames; expected at least {expected}"):
        source.read()
    with pytest.raises(DataError, match=f"found 12 frames; expected at least {expected}"):
        source.num_frames()


def test_folder_is_read_in_parts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", ["img2.png", "img9.PNG", "img10.png", "img11.png"])
    source = VideoSource(folder)
    np.testing.assert_array_equal(source.read(), [frame(index) for index in range(4)])
    np.testing.assert_array_equal(VideoSource(folder, 1, 3).read(), [frame(1), frame(2)])
    assert source.num_frames() == 4 and VideoSource(folder, 1, 3).num_frames() == 2


STATUS = Path("/proc/self/status")
# tracemalloc would count each array that NumPy 2.5 resizes twice, though none is copied.
PEAK_OF_READING = f"""
import sys
from pathlib import Path
from slt_fast.data.video import decoding
from slt_fast.data.video.source import VideoSource

def status(name):
    lines = Path("{STATUS}").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

before = status("VmRSS:")
VideoSource(Path(sys.argv[1])).read()
print(status("VmHWM:") - before)
"""


def test_frames_are_in_memory_once(tmp_path: Path) -> None:
    if not STATUS.exists() or "VmHWM:" not in STATUS.read_text():
        pytest.skip(f"needs Linux's record of a process's peak memory: VmHWM in {STATUS}")
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    content = cv2.imencode(".png", image)[1].tobytes()
    for index in range(200):
        (tmp_path / f"{index}.png").write_bytes(content)
    command = [sys.executable, "-c", PEAK_OF_READING, tmp_path]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    frames = VideoSource(tmp_path).read()
    assert len(frames) == 200 and (frames[7] == image[..., ::-1]).all()
    assert frames.nbytes < int(finished.stdout) < 1.5 * frames.nbytes


def test_folder_of_jpg(tmp_path: Path) -> None:
    frames = VideoSource(write_folder(tmp_path / "clip", ["0.jpg", "1.jpeg"])).read()
    assert np.abs(frames[0].astype(int) - frame(0))[:, 4:28].max() < 40


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no frames")
    for call in (VideoSource(tmp_path).read, VideoSource(tmp_path).num_frames):
        with pytest.raises(DataError, match="found no images; expected a folder of png or jpg"):
            call()


def test_an_error_of_opencv_names_the_folder(tmp_path: Path, monkeypatch) -> None:
    folder = write_folder(tmp_path / "clip", ["0.png"])

    def fail(*_) -> None:
        raise cv2.error("OpenCV(5)\n mix: no memory\n")

    monkeypatch.setattr(cv2, "mixChannels", fail)
    with pytest.raises(DataError, match=r"clip: found OpenCV\(5\) mix: no memory; expected"):
        VideoSource(folder).read()


def test_images_of_differing_size(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", ["0.png", "1.png"])
    assert cv2.imwrite(str(folder / "2.png"), np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"2\.png: found a frame of 20x10.*expected a frame of 64x48"
    ):
        VideoSource(folder).read()


def test_source_and_error_survive_pickling(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(VideoSource(tmp_path / "a.mp4", 1, 3, 25.0)))
    assert source == VideoSource(tmp_path / "a.mp4", 1, 3, 25.0)
    assert source.name == os.fspath(tmp_path / "a.mp4")
    error = pickle.loads(pickle.dumps(DataError("a.csv", "2 fields", "3", line=7)))
    assert str(error) == "a.csv:7: found 2 fields; expected 3"
    assert (error.path, error.found, error.expected, error.line) == ("a.csv", "2 fields", "3", 7)


@pytest.mark.parametrize(
    ("glosses", "minimum"), [("", 0), ("A", 1), ("A B A", 3), ("A A", 3), ("A A A B B", 8)]
)
def test_minimum_ctc_frames(glosses: str, minimum: int) -> None:
    clip = AnnotatedClip(
        "c", VideoSource(Path("c.mp4")), "text", tuple(glosses.split()), None, "train", "m.csv:4"
    )
    assert minimum_ctc_frames(clip.glosses) == minimum
    check_ctc_length(clip, minimum)
    with pytest.raises(
        DataError, match=rf"m\.csv:4: found {minimum - 1} frames.*at least {minimum},"
    ):
        check_ctc_length(clip, minimum - 1)


def test_clip_without_glosses_needs_no_frames() -> None:
    clip = AnnotatedClip("c", VideoSource(Path("c.mp4")), "text", None, None, "train", "m.csv:4")
    check_ctc_length(clip, 0)


@pytest.mark.parametrize(
    ("num_frames", "level", "found"),
    [(1, 9, "a single frame"), (3, 9, "3 identical frames"), (3, 0, "3 black frames")],
)
def test_a_clip_without_motion_is_told_once(tmp_path: Path, caplog, num_frames, level, found):
    for index in range(num_frames):
        image = np.full((10, 20, 3), level, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    for _ in range(2):
        VideoSource(tmp_path).read()
    message = f"{tmp_path}: found {found}; nothing moves, so nothing is signed"
    assert caplog.messages == [message]


def test_a_clip_with_one_other_frame_moves(tmp_path: Path, caplog) -> None:
    for index in range(4):
        image = np.full((10, 20, 3), 9 if index == 2 else 0, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    VideoSource(tmp_path).read()
    assert not caplog.messages


@pytest.mark.parametrize(("rate", "kept"), [(25, range(12)), (12.5, range(0, 12, 2))])
def test_resampling_of_videos_and_folders(tmp_path: Path, rate: float, kept: range) -> None:
    folder = write_folder(tmp_path / "clip", [f"{index:02}.png" for index in range(NUM_FRAMES)])
    for source in (
        VideoSource(write_video(tmp_path / "a.mkv", "MJPG")),
        VideoSource(folder, fps=25),
    ):
        at_rate = source.at_rate(rate)
        np.testing.assert_array_equal(at_rate.read(), source.read()[list(kept)])
        assert at_rate.num_frames() == at_rate.estimated_frames() == len(kept)
        part = replace(at_rate, start=4, end=9)
        np.testing.assert_array_equal(part.read(), source.read()[4:9][:: 25 // int(rate)])
        assert part.num_frames() == len(part.read())
    unknown = VideoSource(folder).at_rate(rate)
    assert (
        unknown.num_frames() == len(unknown.read()) == NUM_FRAMES and unknown.frame_rate() is None
    )


def test_cameras_take_recorded_frames(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", [f"{index:02}.png" for index in range(NUM_FRAMES)])
    for source in (
        VideoSource(write_video(tmp_path / "a.mkv", "MJPG")),
        VideoSource(folder, fps=25),
        VideoSource(folder),  # of unknown rate, so that it is taken to have the one asked for
    ):
        for camera, kept in (
            (Camera(12.5, 12.5), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10]),
            (Camera(40, 40), [*range(12)]),
        ):
            filmed = source.at_rate(25, camera)
            np.testing.assert_array_equal(filmed.read(), source.read()[kept])
            assert filmed.num_frames() == filmed.estimated_frames() == len(kept)
        part = replace(source.at_rate(25, Camera(12.5, 12.5)), start=3, end=8)
        np.testing.assert_array_equal(part.read(), source.read()[[3, 3, 5, 5, 7, 7]])
        assert part.num_frames() == 6


def write_jittered(path: Path) -> Path:
    """A Matroska file that names no frame rate: DefaultDuration becomes a void element."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, np.uint8))
            frame.pts, frame.time_base = 20 * index + (index * 7) % 13, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    position = content.index(b"\x23\xe3\x83")
    content[position : position + 2] = 0xEC, 0x80 + 2 + (content[position + 3] & 0x7F)
    path.write_bytes(content)
    return path


def test_a_rate_that_the_container_does_not_name(tmp_path: Path, monkeypatch) -> None:
    source = VideoSource(write_jittered(tmp_path / "a.mkv"))
    times = [20 * index + (index * 7) % 13 for index in range(40)]
    source_rate = source.frame_rate()
    assert source_rate == pytest.approx(39_000 / (times[-1] - times[0]))
    assert source.estimated_frames() == source.num_frames() == 40
    with decoding.Video(source.path) as video:
        video.times()
        monkeypatch.setattr(decoding.Video, "times", lambda self: pytest.fail("read twice"))
        assert video.rate == source_rate
    monkeypatch.undo()
    halved = source.at_rate(25)
    assert halved.num_frames() == len(halved.read()) == halved.estimated_frames() == 20


RAW = [("a.m4v", "m4v", "mpeg4"), ("a.m2v", "mpeg2video", "mpeg2video")]
RAW += [("a.h264", "h264", "libx264"), ("a.hevc", "hevc", "libx265")]


def write_raw(path: Path, form: str, codec: str, **options: str) -> Path:
    """Twelve frames at 50 a second, without timestamps."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=50, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(NUM_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index))))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "form", "codec"), RAW)
def test_raw_streams_state_their_rate(tmp_path: Path, name: str, form: str, codec: str) -> None:
    source = VideoSource(write_raw(tmp_path / name, form, codec))
    assert source.frame_rate() == 50  # FFmpeg's demuxers say 25
    halved = source.at_rate(25)
    np.testing.assert_array_equal(halved.read(), source.read()[::2])
    assert halved.num_frames() == halved.estimated_frames() == NUM_FRAMES // 2


@pytest.mark.parametrize(
    ("name", "form", "codec", "options"),
    [
        ("a.mjpeg", "mjpeg", "mjpeg", {}),
        ("a.hevc", "hevc", "libx265", {"x265-params": "vui-timing-info=0:log-level=none"}),
    ],
)
def test_raw_streams_without_a_rate(tmp_path, caplog, name, form, codec, options) -> None:
    source = VideoSource(write_raw(tmp_path / name, form, codec, **options))
    assert source.frame_rate() is None
    at_rate = source.at_rate(12.5)
    for _ in range(2):
        np.testing.assert_array_equal(at_rate.read(), source.read())
    assert at_rate.num_frames() == at_rate.estimated_frames() == NUM_FRAMES
    (message,) = caplog.messages
    assert message == f"{source.path}: found no frame rate; it is taken as 12.5 a second"


def test_place_holds_the_rate_only_if_frames_are_resampled(tmp_path: Path) -> None:
    plain = VideoSource(tmp_path / "a.mp4", 1, 3, fps=50)
    assert plain.place(tmp_path) == ("a.mp4", {"path": "a.mp4", "start": 1, "end": 3})
    name, place = plain.at_rate(25).place(tmp_path)
    assert place == {"path": "a.mp4", "start": 1, "end": 3, "rate": 25, "fps": 50}
    _, filmed = plain.at_rate(25, Camera(10, 20, (1,))).place(tmp_path)
    assert filmed == place | {"camera": {"slowest": 10, "fastest": 20, "seed": (1,)}}


@pytest.mark.parametrize(("limit", "found"), [("PIXELS", "48 pixels"), ("FRAMES", "12 frames")])
def test_limits_are_checked_before_decoding(tmp_path: Path, monkeypatch, limit, found) -> None:
    source = VideoSource(write_video(tmp_path / "a.mp4", "mp4v"))
    monkeypatch.setattr(limits, f"MAX_{limit}", 11)
    monkeypatch.setattr(decoding.Video, "_decoded", lambda *_: pytest.fail("decoded"))
    for call in (source.read, source.num_frames):
        with pytest.raises(DataError, match=rf"a\.mp4: found .*{found}.*; expected at most 11"):
            call()


def test_length_is_limited_where_nothing_is_listed(tmp_path: Path, monkeypatch) -> None:
    source = VideoSource(write_video(tmp_path / "a.mpg", "MPG2"))
    monkeypatch.setattr(limits, "MAX_FRAMES", 11)
    for found in (source, replace(source, end=11).at_rate(60)):
        with pytest.raises(DataError, match=r"found 12 frames or more; expected at most 11"):
            found.read()
