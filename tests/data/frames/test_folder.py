from pathlib import Path

import numpy as np
import pytest

from slt_fast.data import limits
from slt_fast.data.frames.folder import folder_images, frame_files
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, warn_once


@pytest.fixture(autouse=True)
def warned() -> None:
    warn_once.cache_clear()


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def numbered(count: int, form: str = "images{:04}.png") -> list[str]:
    return [form.format(number) for number in range(1, count + 1)]


def names(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in frame_files(folder)]


@pytest.mark.parametrize(
    "frames",
    [
        numbered(12),
        numbered(12, "{}.jpg"),
        numbered(3, "01April_2010-0.avi_pid0_fn{:06}-0.png"),  # PHOENIX-2014
        ["img8.png", "img9.PNG", "IMG10.png", "img11.png"],
        ["0.jpg", "1.jpeg", "2.JPG"],
        ["only.png"],
    ],
)
def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path, caplog, frames) -> None:
    strays = ("._img2.png", ".hidden.png", "Thumbs.db", "createDate.txt", "pose.json")
    assert names(tree(tmp_path, *reversed(frames), *strays)) == frames
    assert not caplog.records


@pytest.mark.parametrize("stray", ["preview.png", "poster.jpg", "images0001 (1).jpg", "0.jpg"])
@pytest.mark.parametrize("form", ["images{:04}.png", "images{:04}.jpg"])
def test_a_single_image_of_another_name_is_left_out(
    tmp_path: Path, caplog, stray: str, form: str
) -> None:
    tree(tmp_path, *numbered(5, form), stray)
    for _ in range(2):
        assert names(tmp_path) == numbered(5, form)
    message = f"{tmp_path}: left out {stray}, not named like {form.format(1)}"
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([*numbered(5), *numbered(5, "depth{}.png")], "5 as depth1.png, 5 as images0001.png"),
        ([*numbered(9), *numbered(2, "thumb{}.png")], "9 as images0001.png, 2 as thumb1.png"),
        ([*numbered(5, "{}.png"), *numbered(3, "{}.jpg")], "5 as 1.png, 3 as 1.jpg"),
        (["1.png", "preview.jpg"], "1 as 1.png, 1 as preview.jpg"),
        (["a.png", "b.png", "c.png", "d.png", "e.png"], "and 2 other names"),
        (["1.png", "2.png", "a.jpg", "b.jpg"], "2 as 1.png, 1 as a.jpg, 1 as b.jpg"),
    ],
)
def test_names_that_do_not_say_which_are_the_frames(tmp_path: Path, frames, found: str) -> None:
    with pytest.raises(DataError) as caught:
        frame_files(tree(tmp_path, *frames))
    assert "found images of unlike names (" in str(caught.value)
    assert all(part in str(caught.value) for part in found.split(", "))
    assert "expected frames numbered in one way, such as images0001.png" in str(caught.value)


def test_one_number_twice(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "01.png", "2.png")
    with pytest.raises(DataError, match=r"found 0?1.png and 0?1.png, which have the same number"):
        frame_files(tmp_path)


@pytest.mark.parametrize("video", ["clip.mp4", "preview.gif", "a.h264"])
@pytest.mark.parametrize("images", [["poster.png"], numbered(9), []])
def test_a_folder_of_videos_is_no_frame_folder(tmp_path: Path, video: str, images) -> None:
    source = VideoSource(tree(tmp_path, *images, video, "x.mov"))
    message = f"found {video}, x.mov and {len(images)} images; expected a folder of png or jpg"
    for call in (source.read, source.num_frames):
        with pytest.raises(DataError, match=message):
            call()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2, 4], "numbering with a gap from 2.png to 4.png, read as if nothing were missing"),
        ([1, 3], "numbering with a gap from 1.png to 3.png"),
        ([0, 5, 10, 20, 25, 35], "numbering with 2 gaps, the first from 10.png to 20.png"),
        ([33, 67, 100, 133, 233], "numbering with a gap from 133.png to 233.png"),
        ([7, 8, 9], ""),
        ([0, 5, 10, 15], ""),
        ([33, 67, 100, 133], ""),
    ],
)
def test_gaps_in_the_numbering_are_said(tmp_path: Path, caplog, numbers, message: str) -> None:
    frames = [f"{number}.png" for number in numbers]
    assert names(tree(tmp_path, *frames)) == frames
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == bool(message) and all(message in line for line in found)


def test_two_numbers_that_count(tmp_path: Path, caplog) -> None:
    frames = ["cam1_001.png", "cam1_002.png", "cam2_001.png", "cam2_002.png"]
    assert names(tree(tmp_path, *frames)) == frames
    assert "frames with 2 numbers that count (cam1_001.png to cam2_002.png)" in caplog.text
    caplog.clear()
    frames = ["frame1_40ms.png", "frame2_80ms.png", "frame3_120ms.png"]
    assert names(tree(tmp_path / "timed", *frames)) == frames
    assert not caplog.records


def test_a_single_subfolder_is_looked_into(tmp_path: Path, caplog) -> None:
    inner = [f"1/{name}" for name in numbered(4)]
    assert names(tree(tmp_path / "a", *inner, "createDate.txt", ".trash/1.png")) == inner
    assert not caplog.records
    assert names(tree(tmp_path / "b", *inner, "preview.png")) == inner
    assert "left out preview.png, not named like images0001.png" in caplog.text
    assert names(tree(tmp_path / "c", *numbered(4), *inner)) == numbered(4)
    assert names(tree(tmp_path / "d", "1.png", "notes/x.txt")) == ["1.png"]


@pytest.mark.parametrize("image", [[], ["poster.png"]])
def test_a_folder_of_folders_is_no_frame_folder(tmp_path: Path, image) -> None:
    tree(tmp_path, *image, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    message = rf"found {len(image)} images and 2 folders \(a, b\); expected a folder of png or jpg"
    with pytest.raises(DataError, match=message):
        frame_files(tmp_path)


@pytest.mark.parametrize("name", ["clip{}", "poster{}.bin", "{}.npy", "{}.dcm", "clip{}.zip"])
def test_a_single_image_beside_unknown_files_is_no_clip(tmp_path: Path, name: str) -> None:
    """It may be the poster of videos."""
    tree(tmp_path, "poster.png")
    for number in range(3):
        (tmp_path / name.format(number)).write_bytes(b"\0\0\0\x18ftypisom")
    found = f"{name.format(0)}, {name.format(1)} and 1 more"
    message = f"found a single image, poster.png, beside {found}; expected a folder of png or jpg"
    with pytest.raises(DataError, match=message):
        frame_files(tmp_path)


def test_notes_beside_a_single_image_and_data_beside_frames(tmp_path: Path) -> None:
    assert names(tree(tmp_path / "one", "1.png", "a.txt", "a.eaf", "Thumbs.db")) == ["1.png"]
    sides = ["images0001.npy", "images0002.npy", "images0003.npy", "camera.bin"]
    assert names(tree(tmp_path / "frames", *numbered(3), *sides)) == numbered(3)


def test_images_of_any_suffix(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"frame{number}.img").write_bytes(b"\xff\xd8\xff\xe0 a jpg")
    tree(tmp_path, "notes.txt")
    assert names(tmp_path) == ["frame0.img", "frame1.img", "frame2.img"]


@pytest.mark.parametrize(
    ("form", "content", "other"),
    [
        ("a{:03}.tif", b"", "tif"),
        ("a{:03}.TIFF", b"", "tif"),
        ("a{:03}.webp", b"", "webp"),
        ("a{:03}.bmp", b"", "bmp"),
        ("a{:03}", b"II*\0\x08\0\0\0", "tif"),
        ("a{:03}.raw", b"MM\0*\0\0\0\x08", "tif"),
        ("a{:03}.img", b"RIFF\n\n\0\0WEBPVP8 ", "webp"),
        ("a{:03}.dib", b"BM\n\x1a\0\0\0\0\0\0", "bmp"),
    ],
)
def test_images_of_another_type(tmp_path: Path, caplog, form: str, content: bytes, other) -> None:
    for name in numbered(9, form):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"found 9 {other} images; expected a folder of png or jpg"):
        frame_files(tmp_path)
    tree(tmp_path, "preview.png")
    with pytest.raises(DataError, match=f"found 9 {other} images and 1 png; expected a folder of"):
        frame_files(tmp_path)
    with pytest.raises(DataError, match="found images of unlike names"):
        frame_files(tree(tmp_path, *numbered(20)))


def test_a_single_image_of_another_type_is_left_out(tmp_path: Path, caplog) -> None:
    tree(tmp_path, *numbered(5), "preview.tif")
    (tmp_path / "notes.txt").write_bytes(b"BM is no bitmap")
    assert names(tmp_path) == numbered(5)
    (record,) = caplog.records
    assert record.getMessage().endswith("left out preview.tif, not named like images0001.png")


def test_more_frames_than_a_clip_may_have(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAX_FRAMES", 4)
    assert len(frame_files(tree(tmp_path, *numbered(4)))) == 4
    with pytest.raises(DataError, match="found 5 frames or more; expected at most 4 a clip"):
        frame_files(tree(tmp_path, *numbered(5)))


def test_a_broken_frame_is_named(tmp_path: Path) -> None:
    images = folder_images(tree(tmp_path, *numbered(3)), 0, None)
    with pytest.raises(DataError, match=r"images0001.png: found an empty file"):
        list(images)
    with pytest.raises(DataError, match="found 3 frames; expected at least 4"):
        list(folder_images(tmp_path, 0, 4))


def test_state_of_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "\udcff1.png"
    path.write_bytes(b"x")
    assert VideoSource(tmp_path).identity(tmp_path).state["frames"] == 1


def test_warnings_show_control_characters(tmp_path: Path, caplog) -> None:
    frame_files(tree(tmp_path, *numbered(3), "a\x1b[2Jb\n.png"))
    (record,) = caplog.records
    assert r"left out a\x1b[2Jb\n.png" in record.getMessage()
    assert np.all([character.isprintable() for character in record.getMessage()])
