import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from slt_fast.data.frames.image import read_image
from slt_fast.data.limits import MAX_PIXELS
from slt_fast.errors import DataError

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
IMAGE = cv2.GaussianBlur(NOISE, (0, 0), 3)


def encoded(suffix: str, **options) -> bytes:
    content = io.BytesIO()
    Image.fromarray(IMAGE[..., ::-1]).save(content, suffix, **options)
    return content.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG", quality=90)


def png_of_size(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + check


def jpeg_of_size(width: int, height: int) -> bytes:
    position = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:position] + struct.pack(">HH", height, width) + JPEG[position + 4 :]


def written(folder: Path, content: bytes, name: str = "1.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["1.png", "1.jpg"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_image(written(tmp_path, PNG, name)), IMAGE)
    assert np.abs(read_image(written(tmp_path, JPEG, name)).astype(int) - IMAGE).max() < 16


KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "full colour": {"subsampling": 0},
    "rgb": {"keep_rgb": True},
    "restarts": {"restart_marker_blocks": 2},
    "rotated": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_opencv(tmp_path: Path, kind: str) -> None:
    content = encoded("JPEG", quality=90, **KINDS[kind])
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert expected.shape == ((80, 60, 3) if kind == "rotated" else (60, 80, 3))
    assert np.array_equal(read_image(written(tmp_path, content)), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours(tmp_path: Path, mode: str) -> None:
    content = io.BytesIO()
    Image.fromarray(IMAGE).convert(mode).save(content, "JPEG")
    assert read_image(written(tmp_path, content.getvalue())).shape == (60, 80, 3)


GIF = b"GIF89a\x80\x3e\x80\x3e\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x80\x3e\x80\x3e\0\2\2D\1\0;"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"noise", "a file of another type, which begins with b'noise'"),
        (GIF, "a file of another type, which begins with b'GIF89a"),
        (PNG[:20], r"a broken or truncated image \(no header\)"),
        (PNG[: len(PNG) // 2], "a broken or truncated image"),
        (PNG[:-20], "a broken or truncated image"),
        (JPEG[:100], "a broken or truncated image"),
        (JPEG[: len(JPEG) // 2], r"a broken or truncated image \(Premature end of JPEG file"),
        (JPEG[:-2], r"a broken or truncated image \(Premature end of JPEG file"),
        (png_of_size(100_000, 100_000), f"100000x100000 pixels; expected at most {MAX_PIXELS}"),
        (jpeg_of_size(16_000, 16_000), f"16000x16000 pixels; expected at most {MAX_PIXELS}"),
    ],
)
@pytest.mark.parametrize("name", ["1.png", "1.jpg"])
def test_broken_images(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: found {message}"):
        read_image(written(tmp_path, content, name))


def test_bytes_that_libjpeg_complains_of(tmp_path: Path) -> None:
    """Damage within the picture, which OpenCV alone decodes to wrong pixels."""
    generator = np.random.default_rng(1)
    begin, found = JPEG.index(b"\xff\xda") + 14, 0
    for _ in range(50):
        damaged = bytearray(JPEG)
        position = generator.integers(begin, len(JPEG) - 66)
        damaged[position : position + 64] = generator.bytes(64)
        assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR) is not None
        try:
            read_image(written(tmp_path, bytes(damaged)))
        except DataError as error:
            found += "broken or truncated image (Corrupt JPEG data: " in str(error)
    assert found > 15  # not all: a JPEG holds no checksums


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "zero.png", "folder.png"):
        with pytest.raises(DataError, match=f"{name}: found no regular file; expected a whole png"):
            read_image(tmp_path / name)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"sparse.png: found 1099511627776 bytes; expected at most"):
        read_image(tmp_path / "sparse.png")
