from pathlib import Path

import pytest

from slt_fast.data.sources import (
    data_files,
    data_root,
    find_videos,
    read_split,
    read_videos,
    split_names,
)
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.errors import DataError, UserError


def manifest(folder: Path, *rows: str) -> Path:
    (folder / "frames").mkdir()
    path = folder / "manifest.csv"
    path.write_text("id,video,text,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_synthetic_takes_its_seed() -> None:
    assert read_split("synthetic", "dev") == read_synthetic("dev")
    assert read_split("synthetic:7", "dev") == read_synthetic("dev", seed=7)
    agreeing = read_synthetic("dev", seed=7, agreement=True)
    assert read_split("synthetic-agreement:7", "dev") == agreeing


def test_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a,frames,hello .,train", "b,missing,hello .,train", "c,frames,x,dev")
    errors: list[DataError] = []
    clips = read_split(f"manifest:{path}", "train", on_error=errors.append)
    assert [clip.id for clip in clips] == ["a"] and [error.line for error in errors] == [3]
    with pytest.raises(DataError, match=r"manifest.csv:3: found video 'missing', which does not"):
        read_split(f"manifest:{path}", "train")


def test_phoenix(tmp_path: Path) -> None:
    folder = tmp_path / "annotations" / "manual"
    folder.mkdir(parents=True)
    (tmp_path / "features/fullFrame-210x260px/dev/a").mkdir(parents=True)
    (folder / "PHOENIX-2014-T.dev.corpus.csv").write_text(
        "name|video|start|end|speaker|orth|translation\na|a/1/*.png|-1|-1|Signer01|REGEN|regen\n"
    )
    (clip,) = read_split(f"phoenix14t:{tmp_path}", "dev")
    assert (clip.id, clip.glosses) == ("a", ("REGEN",))
    assert data_files(f"phoenix14t:{folder}") == [folder, tmp_path / "features"]


@pytest.mark.parametrize("data", ["synthetic", "manifest:{}", "phoenix14t:{}"])
def test_unknown_split(tmp_path: Path, data: str) -> None:
    path = manifest(tmp_path, "a,frames,hello .,train")
    if data.startswith("phoenix"):
        path = tmp_path
        (tmp_path / "annotations" / "manual").mkdir(parents=True)
        (tmp_path / "annotations" / "manual" / "PHOENIX-2014-T.dev.corpus.csv").touch()
    with pytest.raises(ValueError, match="'valid'; expected "):
        read_split(data.format(path), "valid")


def test_split_without_a_usable_clip(tmp_path: Path) -> None:
    data = f"manifest:{manifest(tmp_path, 'b,missing,hello .,train')}"
    with pytest.raises(ValueError, match=r"found no usable clip in split 'train'; expected at le"):
        read_split(data, "train", on_error=lambda error: None)


def test_home_folder(tmp_path: Path, monkeypatch) -> None:
    path = manifest(tmp_path, "a,frames,hello .,train")
    tree(tmp_path, "frames/1.png", "frames/2.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_split("manifest:~/manifest.csv", "train") == read_split(f"manifest:{path}", "train")
    for data in ("manifest:~/manifest.csv", "~/manifest.csv", "~/frames"):
        assert names(data) == (tmp_path, ["frames"])
    with pytest.raises(
        DataError, match=f"^{tmp_path}/gone/annotations/manual: found no annotation"
    ):
        read_split("phoenix14t:~/gone", "dev")


UNKNOWN = ["phoenix14t", "phoenix14t:", "phoenix14t-rendered:", "manifest:", "folder:x", "", ":"]


@pytest.mark.parametrize("data", UNKNOWN)
def test_unknown_kind(data: str) -> None:
    with pytest.raises(ValueError, match=rf"found '{data}'; expected synthetic\[-agreement\]"):
        read_split(data, "train")
    for ask in (split_names, data_root):
        with pytest.raises(UserError, match=f"found '{data}'; expected"):
            ask(data)


def test_a_path_without_its_kind_is_answered_with_its_name(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a,frames,hello .,train")
    root = tmp_path / "PHOENIX-2014-T"
    (root / "annotations" / "manual").mkdir(parents=True)
    (root / "annotations" / "manual" / "PHOENIX-2014-T.dev.corpus.csv").touch()
    for place, kind in ((path, "manifest"), (root, "phoenix14t"), (tmp_path, "phoenix14t")):
        with pytest.raises(UserError, match=f"found '{place}'; expected {kind}:{place}$"):
            read_split(str(place), "train")


@pytest.mark.parametrize("kind", ["synthetic", "synthetic-agreement"])
@pytest.mark.parametrize("seed", ["x", "-1", "1.5"])
def test_seed_is_a_whole_number(kind: str, seed: str) -> None:
    with pytest.raises(ValueError, match=f"found {kind}:{seed}; expected a whole number"):
        read_split(f"{kind}:{seed}", "train")


def names(data: str, **options) -> tuple[Path, list[str]]:
    root, sources = read_videos(data, **options)
    return root, [str(source.path.relative_to(root)) for source in sources]


def test_videos_of_a_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path, "a,frames,hello .,train", "b,gone,hello .,train", "c,frames,x,dev")
    with pytest.raises(DataError, match=r"manifest.csv:3: found video 'gone', which does not"):
        read_videos(str(path))
    errors: list[DataError] = []
    for data in (str(path), f"manifest:{path}"):
        found = names(data, on_error=errors.append)
        assert found == (tmp_path, ["frames", "frames"])
    assert {error.line for error in errors} == {3}
    assert names(str(path), splits=("dev",)) == (tmp_path, ["frames"])
    with pytest.raises(DataError, match="found no split 'valid'; expected one of train, dev"):
        read_videos(str(path), splits=("valid",))
    path.write_text("id,video,text,split\nb,gone,hello .,train\n")
    with pytest.raises(ValueError, match="found no usable clip; expected at least one"):
        read_videos(str(path), on_error=errors.append)


def test_videos_without_annotations(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").touch()
    for data in (str(tmp_path), str(tmp_path / "frames")):
        assert names(data) == (tmp_path, ["frames"])
        with pytest.raises(ValueError, match="found splits dev, test; expected none, as videos"):
            read_videos(data, splits=("dev", "test"))
    with pytest.raises(DataError, match="folder:x: found nothing; expected a video, a folder of"):
        read_videos("folder:x")
    for data in ("manifest:", "phoenix14t:", "phoenix14t"):
        with pytest.raises(ValueError, match=rf"found '{data}'; expected synthetic\[-agreement\]"):
            read_videos(data)


def test_videos_of_phoenix_have_one_name(tmp_path: Path) -> None:
    """Whether the data set's own folder is given or the one it was unpacked into."""
    root = tmp_path / "release" / "PHOENIX-2014-T"
    (root / "annotations" / "manual").mkdir(parents=True)
    header = "name|video|start|end|speaker|orth|translation\n"
    for split in ("dev", "test"):
        (root / "features/fullFrame-210x260px" / split / split / "1").mkdir(parents=True)
        (root / "annotations" / "manual" / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(
            f"{header}{split}|{split}/1/*.png|-1|-1|Signer01|REGEN|regen\n"
        )
    paths = [f"features/fullFrame-210x260px/{split}/{split}/1" for split in ("dev", "test")]
    for place in (root, tmp_path / "release"):
        assert names(f"phoenix14t:{place}") == (root, paths)
        assert names(f"phoenix14t:{place}", splits=("test",)) == (root, paths[1:])
    assert names(f"phoenix14t:{tmp_path}") == (root, paths)
    with pytest.raises(DataError, match="found no annotation files; expected PHOENIX-2014-T"):
        read_videos(f"phoenix14t:{tmp_path}/elsewhere")


def test_rendered_phoenix_needs_annotations_only(tmp_path: Path) -> None:
    folder = tmp_path / "PHOENIX-2014-T" / "annotations" / "manual"
    folder.mkdir(parents=True)
    header = "name|video|start|end|speaker|orth|translation\n"
    for split in ("dev", "test"):
        path = folder / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.write_text(f"{header}{split}|{split}/1/*.png|-1|-1|Signer01|REGEN|regen\n")
    data = f"phoenix14t-rendered:{tmp_path}"
    assert split_names(data) == ["dev", "test"] and data_root(data) == Path()
    (clip,) = read_split(data, "dev")
    assert (clip.id, clip.text, clip.glosses, clip.signer) == (
        "dev",
        "regen",
        ("REGEN",),
        "Signer01",
    )
    assert clip.origin == f"{folder}/PHOENIX-2014-T.dev.corpus.csv:2"
    assert read_split(data, "dev", needs_frames=False) == [clip]
    root, sources = read_videos(data)
    assert root == Path() and sources[0] == clip.source and len(sources) == 2


def test_videos_of_the_synthetic_corpus() -> None:
    _, sources = read_videos("synthetic:3", splits=("dev",))
    assert sources == [clip.source for clip in read_synthetic("dev", seed=3)]
    assert len(read_videos("synthetic")[1]) == sum(NUM_CLIPS.values())
    _, sources = read_videos("synthetic-agreement")
    assert len(sources) == sum(NUM_CLIPS.values()) and all(source.sides for source in sources)


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def videos_at(place: Path) -> tuple[Path, list[str]]:
    root, sources = find_videos(place)
    return root, [str(source.path.relative_to(root)) for source in sources]


def test_videos_and_folders_of_frames_at_any_depth(tmp_path: Path) -> None:
    tree(tmp_path, "clip10.mp4", "clip9.MP4", "poster.jpg", "notes.txt", ".trash/a.mp4", "._b.mp4")
    tree(tmp_path, "b/1/images0001.png", "b/1/images0002.png", "b/2/x.JPG", "empty/notes.txt")
    expected = ["clip9.MP4", "clip10.mp4", "b/1", "b/2"]
    assert videos_at(tmp_path) == (tmp_path, expected)


def test_images_that_are_no_clip_are_said(tmp_path: Path, caplog) -> None:
    tree(tmp_path, "poster.png", "a/1.png", "a/2.png", "b/c.mp4", "b/1.png", "b/2.png")
    assert videos_at(tmp_path) == (tmp_path, ["a", "b/c.mp4"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: left out 1 images beside 0 videos, 2 folders and 0 unknown files",
        f"{tmp_path}/b: left out 2 images beside 1 videos, 0 folders and 0 unknown files",
    ]


def test_raw_and_broadcast_videos_are_found(tmp_path: Path, caplog) -> None:
    suffixes = ("264", "asf", "dv", "hevc", "ivf", "m2ts", "m2v", "mxf", "qt", "rm", "vob", "y4m")
    tree(tmp_path, *(f"a.{suffix}" for suffix in suffixes), "b/c.H264")
    tree(tmp_path, "b/1.png", "b/2.png", "b/3.png", "b/4.png", "b/5.png")
    assert videos_at(tmp_path)[1] == [*(f"a.{suffix}" for suffix in suffixes), "b/c.H264"]
    (message,) = caplog.messages
    expected = "left out 5 images beside 1 videos, 0 folders and 0 unknown files"
    assert message == f"{tmp_path}/b: {expected}"


def test_files_of_unknown_kind_are_named_once(tmp_path: Path, caplog) -> None:
    tree(tmp_path, "a.mp4", "a.odd", "b/c.mp4", "b/d", "b/e.zip", ".hidden.odd", "b/Thumbs.db")
    tree(tmp_path, "a.txt", "a.JSON", "a.csv", "a.srt", "a.vtt", "a.xml", "a.md", "poster.jpg")
    for _ in range(2):
        assert videos_at(tmp_path)[1] == ["a.mp4", "b/c.mp4"]
    (message,) = (text for text in caplog.messages if "images beside" not in text)
    assert message.startswith(f"{tmp_path}: left out a.odd, d and 1 more, neither videos nor")


def test_a_poster_beside_unknown_files_is_no_clip(tmp_path: Path, caplog) -> None:
    tree(tmp_path, "a/poster.png", "a/clip0", "a/clip1.bin", "b/1.png", "b/2.png", "c/1.png")
    assert videos_at(tmp_path)[1] == ["b", "c"]
    assert f"{tmp_path}/a: left out 1 images beside 0 videos, 0 folders and 2 un" in caplog.text
    assert f"{tmp_path}: left out clip0, clip1.bin, neither videos nor images" in caplog.text
    with pytest.raises(DataError, match="found no videos and no folders of frames; expected at le"):
        find_videos(tmp_path / "a")


def test_a_single_video_or_folder_of_frames(tmp_path: Path) -> None:
    tree(tmp_path, "frames/0.png", "frames/1.png", "frames/deeper/0.png", "clip")
    assert videos_at(tmp_path / "clip") == (tmp_path, ["clip"])
    assert videos_at(tmp_path / "frames") == (tmp_path, ["frames", "frames/deeper"])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path, "elsewhere/a.mp4", "data/b/c.gif")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "b" / "up").symlink_to(tmp_path / "data")
    assert videos_at(tmp_path / "data") == (tmp_path / "data", ["a/a.mp4", "b/c.gif"])


def test_places_without_videos(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: found nothing; expected a video, a folder of"):
        find_videos(tmp_path / "gone")
    tree(tmp_path, "a/notes.txt")
    with pytest.raises(DataError, match="found no videos and no folders of frames; expected at le"):
        find_videos(tmp_path)
