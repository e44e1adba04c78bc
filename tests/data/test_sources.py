from pathlib import Path

import pytest

from slt_fast.data.errors import DataError
from slt_fast.data.sources import read_split
from slt_fast.data.synthetic import read_synthetic


def manifest(folder: Path, *rows: str) -> Path:
    (folder / "frames").mkdir()
    path = folder / "manifest.csv"
    path.write_text("id,video,text,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_synthetic_takes_its_seed() -> None:
    assert read_split("synthetic", "dev") == read_synthetic("dev")
    assert read_split("synthetic:7", "dev") == read_synthetic("dev", seed=7)


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


@pytest.mark.parametrize("data", ["phoenix14t", "phoenix14t:", "manifest:", "folder:x", "", ":"])
def test_unknown_kind(data: str) -> None:
    with pytest.raises(ValueError, match=rf"found '{data}'; expected synthetic\[:SEED\], phoenix"):
        read_split(data, "train")


@pytest.mark.parametrize("seed", ["x", "-1", "1.5"])
def test_seed_is_a_whole_number(seed: str) -> None:
    with pytest.raises(ValueError, match=f"found synthetic:{seed}; expected a whole number"):
        read_split(f"synthetic:{seed}", "train")
