from dataclasses import replace
from pathlib import Path

import pytest

from slt_fast.errors import DataError, UserError
from slt_fast.training.checks import check_recipe, check_splits
from slt_fast.training.run import RunConfig


def test_missing_splits_are_named_with_their_options(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("id,video,text\na,a.mp4,hello .\n")
    run = RunConfig(f"manifest:{path}")
    way = "expected one of train, as with --dev-split train --test-split train"
    with pytest.raises(DataError, match=f"found no split 'dev' and 'test'; {way}$"):
        check_splits(run)
    check_splits(replace(run, dev_split="train", test_split="train"))
    check_splits(RunConfig("synthetic"))
    folder = tmp_path / "annotations" / "manual"
    folder.mkdir(parents=True)
    for split in ("train", "train-complex-annotation", "dev", "test"):
        (folder / f"PHOENIX-2014-T.{split}.corpus.csv").touch()
    check_splits(RunConfig(f"phoenix14t:{tmp_path}", train_split="train-complex-annotation"))
    with pytest.raises(
        DataError, match="no split 'valid'; expected one of train, dev, .* with --te"
    ):
        check_splits(RunConfig("synthetic", test_split="valid"))


def test_translations_are_not_written_over_other_files(tiny_recipe, tmp_path: Path) -> None:
    data = tmp_path / "clips.csv"
    data.write_text("id,video,text\na,a.mp4,hello .\n")
    run = RunConfig(f"manifest:{data}", tmp_path, flow_cache=tmp_path / "flow")
    (tmp_path / "flow").mkdir()
    for path, option in (
        (data, "--data"),
        (tmp_path / "metrics.jsonl", "--output"),
        (tmp_path / "flow/said.csv", "--flow-cache"),
    ):
        message = f"^--save-translations: found {path}, which belongs to {option}; expected"
        with pytest.raises(UserError, match=message):
            check_recipe(tiny_recipe, replace(run, save_translations=path))
    check_recipe(tiny_recipe, replace(run, save_translations=tmp_path / "said.csv"))
