from pathlib import Path

import pytest

from slt_fast.data.video.folder import find_videos
from slt_fast.errors import DataError


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(place: Path) -> tuple[Path, list[str]]:
    root, sources = find_videos(place)
    return root, [str(source.path.relative_to(root)) for source in sources]


def test_videos_and_folders_of_frames_at_any_depth(tmp_path: Path) -> None:
    tree(tmp_path, "clip10.mp4", "clip9.MP4", "poster.jpg", "notes.txt", ".trash/a.mp4", "._b.mp4")
    tree(tmp_path, "b/1/images0001.png", "b/1/images0002.png", "b/2/x.JPG", "empty/notes.txt")
    expected = ["clip9.MP4", "clip10.mp4", "b/1", "b/2"]
    assert found(tmp_path) == (tmp_path, expected)


def test_a_single_video_or_folder_of_frames(tmp_path: Path) -> None:
    tree(tmp_path, "frames/0.png", "frames/deeper/0.png", "clip")
    assert found(tmp_path / "clip") == (tmp_path, ["clip"])
    assert found(tmp_path / "frames") == (tmp_path, ["frames", "frames/deeper"])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "elsewhere/a.mp4", "data/b/c.gif")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "b" / "up").symlink_to(tmp_path / "data")
    assert found(tmp_path / "data") == (tmp_path / "data", ["a/a.mp4", "b/c.gif"])


def test_places_without_videos(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: found nothing; expected a video, a folder of"):
        find_videos(tmp_path / "gone")
    tree(tmp_path, "a/notes.txt")
    with pytest.raises(DataError, match="found no videos and no folders of frames; expected at le"):
        find_videos(tmp_path)
