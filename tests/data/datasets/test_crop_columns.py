from pathlib import Path

import cv2
import numpy as np
import pytest

from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.datasets.manifest import read_manifest
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

HEADER = "id,video,text,crop_x,crop_y,crop_width,crop_height"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video and a folder of frames, 48x32 pixels."""
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (48, 32))
    (tmp_path / "frames").mkdir()
    for number in range(3):
        image = np.random.randint(0, 255, (32, 48, 3), np.uint8)
        writer.write(image)
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), image)
    writer.release()
    return tmp_path


def read(folder: Path, *rows: str, header: str = HEADER) -> list[AnnotatedClip]:
    path = folder / "m.csv"
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return read_manifest(path, "train")


@pytest.mark.parametrize("video", ["v.avi", "frames"])
def test_a_clip_shows_its_box(folder: Path, video: str) -> None:
    whole, part = read(folder, f"a,{video},x,,,,", f"b,{video},x,4,8,20,24")
    assert whole.source.crop is None
    np.testing.assert_array_equal(part.source.read(), whole.source.read()[:, 8:32, 4:24])
    resampled = part.source.at_rate(50)
    assert resampled.read().shape[1:] == (24, 20, 3)
    assert part.source.num_frames() == 3


def test_a_box_is_in_the_upright_picture(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "rot90.mp4").symlink_to(shared_data / "awkward" / "rot90.mp4")
    height, width = VideoSource(tmp_path / "rot90.mp4").picture_size()
    row = f"b,rot90.mp4,x,0,{height - 10},{width},10"
    (clip,) = read(tmp_path, row)
    assert clip.source.read().shape[1:] == (10, width, 3)


@pytest.mark.parametrize("video", ["v.avi", "frames"])
@pytest.mark.parametrize(
    ("box", "message"),
    [
        (
            "4,8,45,24",
            "found crop_x '4', crop_y '8', crop_width '45', crop_height '24'; exp",
        ),
        ("0,0,48,33", "found .*; expected a box inside the video's 48x32 pixels"),
        ("0,0,0,4", "found .* crop_width '0'.*; expected crop_width and crop_height from 1"),
        ("0,0,4,", "found crop_x '0', crop_y '0', crop_width '4' and no crop_height; expected all"),
        ("-1,0,4,4", "found crop_x '-1'; expected a whole number of pixels, from 0"),
        ("0,0.5,4,4", "found crop_y '0.5'; expected a whole number"),
    ],
)
def test_bad_boxes(folder: Path, video: str, box: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"m\.csv:2: {message}"):
        read(folder, f"b,{video},x,{box}")


def test_a_box_does_not_matter_if_videos_do_not(folder: Path) -> None:
    path = folder / "m.csv"
    path.write_text(f"{HEADER}\na,gone.mp4,x,0,0,9,9\n")
    (clip,) = read_manifest(path, "train", needs_frames=False)
    assert clip.source == VideoSource(folder / "gone.mp4")
