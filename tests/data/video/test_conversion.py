"""Pictures as the metadata of a video turn and mirror them."""

import gc
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

HEIGHT, WIDTH = 32, 48
QUADRANTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))


def picture() -> np.ndarray:
    """Four quadrants of unlike colours."""
    corners = np.array(QUADRANTS, np.uint8).reshape(2, 2, 3)
    return corners.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)


def write_video(path: Path, *matrix: float, num_frames: int = 1) -> Path:
    """An MP4 with a, b, c and d of its display matrix (ISO/IEC 14496-12, section 8.3.2)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=WIDTH, height=HEIGHT)
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
        for number in range(num_frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    a, b, c, d = (round(value * 2**16) for value in matrix)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), picture()),
        ((0, 1, -1, 0), np.rot90(picture(), -1)),  # clockwise
        ((-1, 0, 0, -1), np.rot90(picture(), 2)),
        ((0, -1, 1, 0), np.rot90(picture(), 1)),
        ((-1, 0, 0, 1), picture()[:, ::-1]),
        ((1, 0, 0, -1), picture()[::-1]),
        ((0, 1, 1, 0), picture().swapaxes(0, 1)),
        ((0, -1, -1, 0), np.rot90(picture(), 2).swapaxes(0, 1)),
        ((-2, 0.01, 0.01, 1), picture()[:, ::-1]),  # neither scales nor small tilts count
    ],
)
def test_pictures_are_turned_and_mirrored(tmp_path: Path, matrix, expected: np.ndarray) -> None:
    (shown,) = VideoSource(write_video(tmp_path / "a.mp4", *matrix)).read()
    assert shown.shape == expected.shape
    middles = np.s_[:: shown.shape[0] - 1, :: shown.shape[1] - 1]  # the four corners
    assert np.abs(shown[middles].astype(int) - expected[middles]).max() < 40  # lossy


@pytest.mark.parametrize(
    "matrix", [(0.7, 0.7, -0.7, 0.7), (0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 1)]
)
def test_other_matrices_are_refused(tmp_path: Path, matrix) -> None:
    source = VideoSource(write_video(tmp_path / "a.mp4", *matrix))
    with pytest.raises(DataError, match=r"a\.mp4: found a display matrix \(.*turned by 90, 180"):
        source.read()


def test_frames_are_let_go_at_once(tmp_path: Path) -> None:
    """Not when Python looks for circles, which may be hundreds of frames of 3 MB later."""
    path = write_video(tmp_path / "a.mp4", -1, 0, 0, 1, num_frames=30)
    gc.collect()
    gc.disable()
    try:
        counts = [
            sum(type(known) is av.VideoFrame for known in gc.get_objects())
            for _ in VideoSource(path).frames()
        ]
    finally:
        gc.enable()
    assert len(counts) == 30 and max(counts[5:]) <= counts[4]
