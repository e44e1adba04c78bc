import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.flow_file import read_flow, write_flow
from slt_fast.errors import DataError


def flow_of(H: int, W: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 5, (2, H, W)).astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 1)])
def test_what_is_written_is_read_and_agrees_with_opencv(tmp_path: Path, size) -> None:
    path, flow = tmp_path / "a.flo", flow_of(*size)
    flow[0, 0, 0] = 1.666e9  # unknown
    write_flow(path, flow)
    found = read_flow(path)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, flow)
    np.testing.assert_array_equal(cv2.readOpticalFlow(str(path)).transpose(2, 0, 1), flow)
    assert cv2.writeOpticalFlow(str(tmp_path / "b.flo"), flow.transpose(1, 2, 0).copy())
    assert (tmp_path / "b.flo").read_bytes() == path.read_bytes()


def test_any_real_numbers_in_any_order_of_memory(tmp_path: Path) -> None:
    flow = flow_of(4, 6).astype(np.float64)
    write_flow(tmp_path / "a.flo", flow[:, ::-1, ::2])
    np.testing.assert_array_equal(read_flow(tmp_path / "a.flo"), flow[:, ::-1, ::2])
    write_flow(tmp_path / "a.flo", np.ones((2, 3, 4), int))
    assert read_flow(tmp_path / "a.flo").sum() == 24


def test_real_flow(shared_data: Path, tmp_path: Path) -> None:
    """Middlebury's (unknown pixels included), Sintel's and FlyingChairs' own files."""
    paths = sorted((shared_data / "flow").rglob("*.flo"))
    assert len(paths) >= 3
    for path in paths:
        flow = read_flow(path)
        np.testing.assert_array_equal(flow, cv2.readOpticalFlow(str(path)).transpose(2, 0, 1))
        write_flow(tmp_path / "copy.flo", flow)
        assert (tmp_path / "copy.flo").read_bytes() == path.read_bytes()
    rubber_whale = read_flow(shared_data / "flow" / "middlebury" / "RubberWhale" / "flow10.flo")
    known = np.abs(rubber_whale) < 1e9
    assert rubber_whale.shape == (2, 388, 584) and 0.9 < known.mean() < 1
    assert np.abs(rubber_whale[known]).max() < 10


HEADER = struct.pack("<fii", 202021.25, 3, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found no such file; expected a .flo file"),
        (b"", "found 0 bytes; expected a .flo header of 12"),
        (HEADER[:11], "found 11 bytes; expected a .flo header of 12"),
        (b"\x89PNG" + bytes(56), "found tag .* expected 202021.25 .*PIEH"),
        (struct.pack(">fii", 202021.25, 3, 2) + bytes(48), "found tag .*HEIP.*; expected 20202"),
        (HEADER + bytes(47), "found 59 bytes; expected 60 for a flow of 3x2 pixels"),
        (HEADER + bytes(49), "found 61 bytes; expected 60 for a flow of 3x2 pixels"),
        (struct.pack("<fii", 202021.25, 0, 2), "found a flow of 0x2 pixels; expected sides of 1"),
        (struct.pack("<fii", 202021.25, 3, -2), "found a flow of 3x-2 pixels; expected sides of"),
        (
            struct.pack("<fii", 202021.25, 2**31 - 1, 2**31 - 1),
            "found a flow of 2147483647x2147483647 pixels; expected sides of 1 to 99999 pixels",
        ),
        (struct.pack("<fii", 202021.25, 99999, 99999), "found 12 bytes; expected 79998400020 for"),
    ],
)
def test_files_that_are_no_whole_flow(tmp_path: Path, content: bytes | None, message) -> None:
    if content is not None:
        (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.flo: {message}"):
        read_flow(tmp_path / "a.flo")


@pytest.mark.parametrize("shape", [(3, 4, 2), (2, 4), (1, 2, 3, 4)])
def test_flow_of_another_shape_is_not_written(tmp_path: Path, shape) -> None:
    with pytest.raises(ValueError, match=r"a\.flo: found flow of shape .* expected \[2, H, W\]"):
        write_flow(tmp_path / "a.flo", np.zeros(shape))
    with pytest.raises(ValueError, match=r"a\.flo: found a flow of 0x3 pixels; expected sides of"):
        write_flow(tmp_path / "a.flo", np.zeros((2, 3, 0)))
    assert not os.listdir(tmp_path)


def test_flow_that_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.flo"
    write_flow(path, flow_of(2, 3))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_flow(path, np.zeros((2, 2, 3)))
    np.testing.assert_array_equal(read_flow(path), flow_of(2, 3))
    assert os.listdir(tmp_path) == ["a.flo"]
