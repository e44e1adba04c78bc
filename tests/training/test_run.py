from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slt_fast.checkpoint import TrainedModel, build_network, save_checkpoint
from slt_fast.data.batching import Vocabularies
from slt_fast.data.flow_cache.cache import open_flow_cache
from slt_fast.data.flow_cache.extraction import extract, make_plan
from slt_fast.data.sources import read_split, read_videos
from slt_fast.errors import DataError
from slt_fast.files import read_json, write_json
from slt_fast.training.run import (
    RunConfig,
    SkippedClips,
    check_output,
    check_same,
    load_dataset,
    make_room,
    resumed,
    run_flow_cache,
    trained_on,
)


def test_a_finished_run_is_moved_aside(tmp_path: Path) -> None:
    for number in range(3):
        run = RunConfig(output=tmp_path / "run")
        make_room(run)
        assert not list(run.output.iterdir())
        (run.output / "last").mkdir()
        (run.output / "note").write_text(str(number))
    notes = {path.name: (path / "note").read_text() for path in tmp_path.iterdir()}
    assert notes == {"run.1": "0", "run.2": "1", "run": "2"}


def test_a_run_to_resume_stays(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    make_room(RunConfig(output=tmp_path, resume=True))
    assert (tmp_path / "last").exists()


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rum: found no such folder; expected the folder of a run"):
        check_output(RunConfig(output=tmp_path / "rum", resume=True))
    assert not (tmp_path / "rum").exists()


def test_each_skipped_clip_is_listed_once(tmp_path: Path) -> None:
    first, second = (DataError("list.csv", "no text", "a text", line) for line in (2, 3))
    path = tmp_path / "skipped.txt"
    path.write_text("of a run that broke off\n")
    for append in (False, True):  # a run, and its resumption
        skipped = SkippedClips()
        skipped(first)
        skipped.open(path, append=append)
        skipped(second)
        skipped(first)
    assert path.read_text().splitlines() == [str(first), str(second)]


def test_trained_on_tells_data_sets_apart(manifest: Path) -> None:
    clips = read_split(f"manifest:{manifest}", "train")
    run = RunConfig(data=f"manifest:{manifest}")
    found = trained_on(run, clips)
    assert (found.data, found.train_split, found.test_split) == (run.data, "train", "test")
    other = [replace(clips[0], text="another text"), *clips[1:]]
    assert trained_on(run, other).train_clips_sha256 != found.train_clips_sha256
    assert trained_on(run, clips) == found


def test_settings_of_a_run_to_resume(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    data = f"manifest:{manifest}"
    run = RunConfig(data, tmp_path, skip_bad=True, train_split="dev", dev_split="test")
    run = replace(run, flow_cache=Path("flow"))
    bare = RunConfig(output=tmp_path, resume=True)
    clips = read_split(run.data, "dev")
    words = Vocabularies.build(clips)
    model = build_network(tiny_recipe, words)
    trained = TrainedModel(model, tiny_recipe, words, trained_on(run, clips))
    save_checkpoint(tmp_path, 1, ("last",), trained, tensors={}, progress={})
    assert resumed(bare) == (tiny_recipe, replace(run, resume=True))
    # Before there was a flow cache, checkpoints did not name one.
    description = read_json(tmp_path / "last" / "model.json")
    del description["trained_on"]["flow_cache"]
    write_json(tmp_path / "last" / "model.json", description)
    assert resumed(bare) == (tiny_recipe, replace(run, resume=True, flow_cache=None))


def test_resuming_with_another_flow_cache(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    """Its flow is the same, or it is refused."""
    clips = read_split(f"manifest:{manifest}", "dev")
    words = Vocabularies.build(clips)
    model = build_network(tiny_recipe, words)
    found, asked = (
        TrainedModel(model, tiny_recipe, words, trained_on(RunConfig(flow_cache=folder), clips))
        for folder in (None, Path("flow"))
    )
    assert (found.trained_on.flow_cache, asked.trained_on.flow_cache) == (None, "flow")
    check_same(tmp_path, found, asked)


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_flow_from_the_cache(
    tiny_recipe, manifest: Path, tmp_path: Path, caplog, is_preloaded: bool
) -> None:
    """Images, augmented ones too, are those computed on the fly, up to float16."""
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=is_preloaded))
    data = f"manifest:{manifest}"
    cache = open_flow_cache(tmp_path / "flow", recipe.input, manifest.parent, create=True)
    _, sources = read_videos(data, splits=("train",))
    extract(make_plan(sources[:4], cache), cache, recipe.input, num_workers=0)
    run = RunConfig(data, flow_cache=tmp_path / "flow")
    assert run_flow_cache(recipe, run) == cache
    for augmentation in (recipe.augmentation, None):
        cached = load_dataset(recipe, data, "train", None, augmentation, flow_cache=cache)
        computed = load_dataset(recipe, data, "train", None, augmentation)
        for index in range(5):
            ours, theirs = (dataset[1, index][1] for dataset in (cached, computed))
            torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
    assert [clip.cached_flow is None for clip in cached.clips] == [False] * 4 + [True]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and all("flow of 4 of 5 clips (first" in text for text in messages)
    assert trained_on(run, cached.clips) == trained_on(run, computed.clips)


def test_a_flow_cache_that_cannot_be_used(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    open_flow_cache(tmp_path, tiny_recipe.input, manifest.parent, create=True)
    run = RunConfig(f"manifest:{manifest}", flow_cache=tmp_path)
    assert run_flow_cache(tiny_recipe, replace(run, flow_cache=None)) is None
    other = replace(tiny_recipe, input=replace(tiny_recipe.input, flow_preset="best"))
    with pytest.raises(DataError, match=r"found flow with .*'fast'.*; expected .*'best'"):
        run_flow_cache(other, run)
    rgb = replace(tiny_recipe, input=replace(tiny_recipe.input, input="rgb"))
    with pytest.raises(ValueError, match="flow cache: found input 'rgb'; expected 'flow'"):
        run_flow_cache(rgb, run)


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_dataset(tiny_recipe, manifest: Path, is_preloaded: bool) -> None:
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=is_preloaded))
    dataset = load_dataset(recipe, f"manifest:{manifest}", "train", None, recipe.augmentation)
    assert len(dataset) == 5 and dataset.num_workers(3) == (0 if is_preloaded else 3)
    again = load_dataset(tiny_recipe, f"manifest:{manifest}", "train", None, recipe.augmentation)
    assert dataset[1, 2][1].equal(again[1, 2][1])
    plain = load_dataset(recipe, f"manifest:{manifest}", "train", None)
    assert not dataset[1, 2][1].equal(plain[1, 2][1].float())


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_a_clip_too_short_for_its_glosses(
    tiny_recipe, own_manifest: Path, is_preloaded: bool
) -> None:
    """Found before the training starts, whether the images are kept or not."""
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=is_preloaded))
    path = own_manifest.with_name("short.csv")
    rows = ["long,clip0,A B,text,,", "short,clip0,A A B,text,1,4"]
    path.write_text("id,video,gloss,text,start,end\n" + "\n".join(rows) + "\n")
    message = (
        r"short\.csv:3: found 3 frames in clip 'short'; "
        "expected at least 4, as CTC needs for 3 glosses$"
    )
    with pytest.raises(DataError, match=message):
        load_dataset(recipe, f"manifest:{path}", "train", None)
    errors: list[DataError] = []
    dataset = load_dataset(recipe, f"manifest:{path}", "train", errors.append)
    assert [clip.id for clip in dataset.clips] == ["long"] and len(errors) == 1
    path.write_text(path.read_text().replace(rows[0] + "\n", ""))
    with pytest.raises(ValueError, match="found no readable clip in 'train'; expected at least"):
        load_dataset(recipe, f"manifest:{path}", "train", errors.append)
