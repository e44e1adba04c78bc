"""Videos whose bytes are damaged or missing; test_source.py has the whole ones."""

import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

NUM_FRAMES = 60


def write_video(path: Path, codec: str) -> Path:
    """A texture that moves, as still pictures have too few bytes to damage."""
    texture = np.random.default_rng(0).integers(0, 255, (15, 20, 3), dtype=np.uint8)
    texture = cv2.resize(texture, (160, 120))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (160, 120))
    assert writer.isOpened()
    for index in range(NUM_FRAMES):
        writer.write(np.roll(texture, (2 * index, 3 * index), (0, 1)))
    writer.release()
    return path


def without(content: bytes, start: float, end: float) -> bytes:
    """The bytes with a part of them zero, as in a download that was not finished."""
    first, last = int(start * len(content)), int(end * len(content))
    return content[:first] + bytes(last - first) + content[last:]


# Each container with the sign by which the hole is noticed.
DAMAGED = [
    ("a.mp4", "mp4v", "frame 2. corrupt"),
    ("a.mov", "mp4v", "frame 2. corrupt"),
    ("a.avi", "MJPG", "4. frames that can be decoded; expected 60, as its container lists"),
    ("a.mkv", "MJPG", "Invalid data found when processing input after 2. frames"),
    ("a.webm", "VP80", "'0x00 at pos .* invalid as first byte of an EBML number' after 25 frames"),
    ("a.ts", "MPG2", "frame 22 corrupt"),
    ("a.flv", "FLV1", "'illegal ac vlc code at .*' after 2. frames"),
    ("a.wmv", "WMV2", r"'ff asf skip 0 \(unknown stream\)', and 43 frames"),
    ("a.mpg", "MPG2", "frame 24 corrupt"),
]


@pytest.mark.parametrize(("name", "codec", "message"), DAMAGED)
def test_hole_in_the_middle(tmp_path: Path, name: str, codec: str, message: str) -> None:
    path = write_video(tmp_path / name, codec)
    source = VideoSource(path)
    assert len(source.read()) == source.num_frames() == NUM_FRAMES
    path.write_bytes(without(path.read_bytes(), 0.4, 0.7))
    with pytest.raises(DataError, match=f"{name}: found {message}"):
        source.read()
    assert len(VideoSource(path, end=15).read()) == 15  # before the hole


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("a.flv", "FLV1", "a corrupt packet after 26 frames"),
        ("a.mpg", "MPG2", "a corrupt packet after 27 frames"),
        ("a.ts", "MPG2", "frame 28 corrupt"),
        ("a.wmv", "WMV2", r"\d+ bytes; expected \d+ bytes.*truncated"),
        ("a.ogv", "VP80", r"\d+ bytes; expected \d+ bytes.*truncated"),
    ],
)
def test_missing_half(tmp_path: Path, name: str, codec: str, message: str) -> None:
    path = write_video(tmp_path / name, codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for call in (VideoSource(path).read, VideoSource(path).num_frames):
        with pytest.raises(DataError, match=f"{name}: found {message}"):
            call()


def test_real_download_that_was_not_finished(tmp_path: Path, shared_data: Path) -> None:
    content = (shared_data / "clips/pose/test_video.mp4").read_bytes()
    path = tmp_path / "a.mp4"
    start = content.index(b"mdat") / len(content)
    path.write_bytes(without(content, (1 + start) / 2, 1))
    with pytest.raises(DataError, match="found Invalid data found when processing .* after 24"):
        VideoSource(path).read()


@pytest.mark.parametrize(("start", "share"), [(0, 1.0), (2000, 1.0), (0, 0.5), (3000, 0.5)])
def test_edit_lists_are_counted_as_they_are_decoded(
    tmp_path: Path, shared_data: Path, start: int, share: float
) -> None:
    for name in ("autsl/signer0_sample1000_color.mp4", "pose/test_video.mp4"):
        content = bytearray((shared_data / "clips" / name).read_bytes())
        position = content.index(b"elst") + 12  # duration and start of the first edit
        duration, first = struct.unpack_from(">Ii", content, position)
        struct.pack_into(">Ii", content, position, int(share * duration), first + start)
        path = tmp_path / "trimmed.mp4"
        path.write_bytes(content)
        assert VideoSource(path).num_frames() == len(VideoSource(path).read())


def matroska_blocks(content: bytes) -> list[int]:
    """Positions of the frames (RFC 9559, section 10)."""
    positions, at = [], content.index(b"\x1f\x43\xb6\x75")
    while at < len(content) and content[at : at + 4] != b"\x1c\x53\xbb\x6b":
        identity = 4 if content[at] == 0x1F else 1
        length = 9 - content[at + identity].bit_length()
        size = int.from_bytes(content[at + identity : at + identity + length], "big")
        if identity == 1:
            positions += [at] if content[at] == 0xA3 else []
            at += size & ((1 << 7 * length) - 1)
        at += identity + length
    return positions


def test_a_varying_frame_rate_and_pauses_are_no_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", "MJPG")
    content = bytearray(path.read_bytes())
    blocks = matroska_blocks(content)
    assert len(blocks) == NUM_FRAMES
    for position in blocks[20:50] + blocks[2:20:3]:
        content[position] = 0xEC  # a void element
    path.write_bytes(content)
    source = VideoSource(path)
    assert len(source.read()) == source.num_frames() == 24
    at_rate = source.at_rate(25)
    assert len(at_rate.read()) == at_rate.num_frames() == NUM_FRAMES


@pytest.mark.parametrize("name", ["dailymoth/0043626-2023.1.4.gif", "lsat/clip1.gif"])
def test_damaged_gif(tmp_path: Path, shared_data: Path, name: str) -> None:
    content = (shared_data / "clips" / name).read_bytes()
    path = tmp_path / "a.gif"
    cases = [
        (without(content, 0.5, 0.52), r"a\.gif: found byte 0x00 at \d+; expected a GIF's blocks"),
        (content[: len(content) // 2] + b";", r"a\.gif: found no end marker; expected a GIF's"),
    ]
    for damaged, message in cases:
        path.write_bytes(damaged)
        for call in (VideoSource(path).read, VideoSource(path).num_frames):
            with pytest.raises(DataError, match=message):
                call()


def with_rows(table: bytes, rows: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        struct.pack_into(">I", content, content.index(table) + 8, rows)

    return change


def with_large_handler(content: bytearray) -> None:
    """Its size in 64 bits: 2^40."""
    position = content.index(b"hdlr")
    struct.pack_into(">I4sQ", content, position - 4, 1, b"hdlr", 2**40)


@pytest.mark.parametrize(
    "change",
    [
        with_large_handler,
        *(
            with_rows(table, rows)
            for table in (b"stts", b"ctts", b"stsc")
            for rows in (10**8, 2**32 - 1)
        ),
    ],
)
def test_hostile_tables_take_no_memory(tmp_path: Path, shared_data: Path, change) -> None:
    """The numbers of rows are found nowhere in the file's few bytes."""
    content = bytearray((shared_data / "clips/pose/test_video.mp4").read_bytes())
    change(content)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + 2**28, limits[1]))
        for call in (VideoSource(path).read, VideoSource(path).num_frames):
            with pytest.raises(DataError, match=r"a\.mp4: found (no|58|0) .*; expected"):
                call()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(DataError, match=r"clip\.mp4: found a pipe or device; expected a video"):
        VideoSource(tmp_path / "clip.mp4").read()
