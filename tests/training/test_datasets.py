import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from slt_fast.data.batching import BatchMaker, Readings, Vocabularies
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.flow_cache.cache import open_flow_cache
from slt_fast.data.flow_cache.extraction import extract, make_plan
from slt_fast.data.loading import ClipDataset
from slt_fast.data.other_rates import OtherRates
from slt_fast.data.sources import read_split, read_videos
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.text import TextUnits
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, UserError
from slt_fast.training import datasets
from slt_fast.training.datasets import (
    other_rates_of,
    part_of,
    prepare_clips,
    read_clips,
    read_splits,
    trained_on,
    training_rate,
    warn_of_rare_words,
)
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig


def training_clips(recipe, data: str, *, on_error=None, fps="native", **options) -> ClipDataset:
    """The training clips, of a run that also chooses and scores by them."""
    run = RunConfig(data, dev_split="train", test_split="train", fps=fps, **options)
    return read_splits(recipe, run, on_error=on_error)[1][0]


def images(recipe, dataset, index: int, augmentation) -> torch.Tensor:
    """Images of a clip in epoch 1."""
    words = Vocabularies.build(dataset.clips)
    maker = BatchMaker(words, recipe.input, augmentation, recipe.training.seed)
    return maker.images(Readings(dataset)[1, index])


def test_trained_on_tells_data_sets_apart(manifest: Path) -> None:
    clips = read_split(f"manifest:{manifest}", "train")
    run = RunConfig(data=f"manifest:{manifest}")
    found = trained_on(run, clips)
    assert (found.data, found.train_split, found.test_split) == (run.data, "train", "test")
    other = [replace(clips[0], text="another text"), *clips[1:]]
    assert trained_on(run, other).train_clips_sha256 != found.train_clips_sha256
    assert trained_on(run, clips) == found


def test_a_part_of_the_training_split() -> None:
    """Larger parts include smaller ones, and a clip is chosen whatever the other clips are."""
    clips = read_split("synthetic", "train")[:200]
    parts = [part_of(clips, number) for number in (50, 100, 200)]
    numbers = [[clips.index(clip) for clip in part] for part in parts]
    assert [len(each) for each in numbers] == [50, 100, 200]
    assert {*numbers[0]} < {*numbers[1]} and all(each == sorted(each) for each in numbers)
    assert part_of(clips, None) == clips == parts[2]
    assert 60 < sum(numbers[1]) / 100 < 140 and numbers[0] != [*range(50)]  # spread over the file
    assert part_of([clip for clip in clips if clip in parts[1]], 50) == parts[0]
    assert part_of(clips[::-1], 50) == parts[0][::-1]
    with pytest.raises(UserError, match="train_clips: found 201; expected at most 200, the clips"):
        part_of(clips, 201)


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
    cached, computed = (
        training_clips(recipe, data, flow_cache=folder) for folder in (cache.folder, None)
    )
    for augmentation in (recipe.augmentation, None):
        for index in range(5):
            ours, theirs = (
                images(recipe, dataset, index, augmentation) for dataset in (cached, computed)
            )
            torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
    assert [clip.cached_flow is None for clip in cached.clips] == [False] * 4 + [True]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1 and all("flow of 4 of 5 clips (first" in text for text in messages)
    assert trained_on(run, cached.clips) == trained_on(run, computed.clips)


def test_a_flow_cache_that_cannot_be_used(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    open_flow_cache(tmp_path, tiny_recipe.input, manifest.parent, create=True)
    data = f"manifest:{manifest}"
    other = replace(tiny_recipe, input=replace(tiny_recipe.input, flow_preset="best"))
    with pytest.raises(DataError, match=r"found flow with .*'fast'.*; expected .*'best'"):
        training_clips(other, data, flow_cache=tmp_path)
    rgb = replace(tiny_recipe, input=replace(tiny_recipe.input, input="rgb"))
    with pytest.raises(ValueError, match="flow cache: found input 'rgb'; expected 'flow'"):
        training_clips(rgb, data, flow_cache=tmp_path)


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_dataset(tiny_recipe, manifest: Path, is_preloaded: bool) -> None:
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=is_preloaded))
    dataset = training_clips(recipe, f"manifest:{manifest}")
    assert len(dataset) == 5 and dataset.num_workers(3) == (0 if is_preloaded else 3)
    again = training_clips(tiny_recipe, f"manifest:{manifest}")
    found = images(recipe, dataset, 2, recipe.augmentation)
    assert found.equal(images(recipe, again, 2, recipe.augmentation))
    assert not found.equal(images(recipe, dataset, 2, None).float())


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
        training_clips(recipe, f"manifest:{path}")
    errors: list[DataError] = []
    dataset = training_clips(recipe, f"manifest:{path}", on_error=errors.append)
    assert [clip.id for clip in dataset.clips] == ["long"] and len(errors) == 1
    path.write_text(path.read_text().replace(rows[0] + "\n", ""))
    with pytest.raises(ValueError, match="found no readable clip in 'train'; expected at least"):
        training_clips(recipe, f"manifest:{path}", on_error=errors.append)


@pytest.mark.parametrize("is_preloaded", [True, False])
@pytest.mark.parametrize("skip_bad", [True, False])
def test_skip_bad_never_hides_a_defect(
    tiny_recipe, manifest: Path, monkeypatch, is_preloaded: bool, skip_bad: bool
) -> None:
    training = replace(tiny_recipe.training, preload=is_preloaded, num_workers=0)
    recipe, errors = replace(tiny_recipe, training=training), []

    def defect(self: VideoSource) -> None:
        raise ValueError("a defect of ours")

    monkeypatch.setattr(VideoSource, "frames" if is_preloaded else "num_frames", defect)
    with pytest.raises(ValueError, match="^a defect of ours$") as caught:
        on_error = errors.append if skip_bad else None
        training_clips(recipe, f"manifest:{manifest}", on_error=on_error)
    assert not errors and caught.type is ValueError


def test_the_rate_of_a_run(tiny_recipe, own_manifest: Path, tmp_path: Path) -> None:
    def rate(data: str, **options) -> float | str:
        return training_rate(RunConfig(data, **options), read_split(data, "train"))

    data = f"manifest:{own_manifest}"
    assert (rate("synthetic"), rate(data)) == (25, "native")  # folders of unknown rate
    header, *rows = own_manifest.read_text().splitlines()
    path = own_manifest.with_name("rated.csv")
    path.write_text("\n".join([f"{header},fps", *(f"{row},50" for row in rows)]))
    rated = f"manifest:{path}"
    assert (rate(rated), rate(rated, fps=12.5), rate(rated, fps="native")) == (50, 12.5, "native")
    cache, open_cache = tmp_path / "flow", partial(open_flow_cache, data_root=path.parent)
    assert rate(rated, flow_cache=cache) == 50
    open_cache(cache, tiny_recipe.input, fps=25, create=True)
    assert rate(rated, flow_cache=cache) == 25 and rate(rated, flow_cache=cache, fps=30) == 30
    with pytest.raises(DataError, match="found flow with fps 25; expected fps 30, as asked for"):
        training_clips(tiny_recipe, rated, fps=30, flow_cache=cache)
    halved = training_clips(tiny_recipe, rated, fps=25)
    assert [len(images) for images in halved.preloaded] == [
        (len(clip.source.read()) + 1) // 2 for clip in training_clips(tiny_recipe, rated).clips
    ]
    run = RunConfig(rated, fps=25)
    assert trained_on(run, halved.clips).fps == 25
    assert trained_on(RunConfig(rated), halved.clips).fps == "native"


def test_a_cache_of_version_0_1_was_not_resampled(tiny_recipe, tmp_path: Path) -> None:
    open_flow_cache(tmp_path, tiny_recipe.input, tmp_path, create=True)
    description = json.loads((tmp_path / "cache.json").read_text())
    assert description.pop("fps") == "native"
    (tmp_path / "cache.json").write_text(json.dumps(description))
    assert training_rate(RunConfig("synthetic", flow_cache=tmp_path), []) == "native"
    open_flow_cache(tmp_path, tiny_recipe.input, tmp_path)
    with pytest.raises(DataError, match="found flow with fps 'native'; expected fps 25"):
        open_flow_cache(tmp_path, tiny_recipe.input, tmp_path, fps=25)


@pytest.fixture
def splits_read(monkeypatch) -> list[str]:
    """The splits whose annotations are read, in order."""
    names: list[str] = []

    def read(data: str, split: str, **options) -> list[AnnotatedClip]:
        names.append(split)
        return read_split(data, split, **options)

    monkeypatch.setattr(datasets, "read_split", read)
    return names


def test_each_split_of_a_run_is_read_once(tiny_recipe, manifest: Path, splits_read) -> None:
    run = RunConfig(f"manifest:{manifest}")
    fps, found = read_splits(tiny_recipe, run)
    assert (fps, [len(dataset) for dataset in found]) == ("native", [5, 2, 2])
    assert splits_read == ["train", "dev", "test"]
    splits_read.clear()
    _, (train_set, dev_set, test_set) = read_splits(tiny_recipe, replace(run, test_split="train"))
    assert splits_read == ["train", "dev"]
    assert test_set is train_set and len(dev_set) == 2


def test_a_run_learns_from_a_part_and_is_scored_on_all(tiny_recipe, manifest: Path) -> None:
    recipe = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=False))
    run = RunConfig(f"manifest:{manifest}", train_clips=2)
    _, found = read_splits(recipe, run)
    assert [len(each) for each in found] == [2, 2, 2]
    part = part_of(read_split(run.data, "train"), 2)
    assert [clip.id for clip in found[0].clips] == [clip.id for clip in part]
    assert trained_on(run, found[0].clips).train_clips == 2
    _, found = read_splits(recipe, replace(run, dev_split="train"))  # what was memorised
    assert found[1].clips == found[0].clips
    with pytest.raises(UserError, match="found 6; expected at most 5, the clips of split 'train'"):
        read_splits(recipe, replace(run, train_clips=6))
    with pytest.raises(UserError, match="train_clips: found 0; expected at least 1"):
        replace(run, train_clips=0)


def test_all_splits_get_the_rate_of_the_training_clips(tiny_recipe, own_manifest: Path) -> None:
    header, *rows = own_manifest.read_text().splitlines()
    rates = [50 if row.endswith("train") else 100 for row in rows]
    rated = [f"{row},{rate}" for row, rate in zip(rows, rates, strict=True)]
    own_manifest.write_text("\n".join([f"{header},fps", *rated]))
    fps, found = read_splits(tiny_recipe, RunConfig(f"manifest:{own_manifest}"))
    sources = [clip.source for dataset in found for clip in dataset.clips]
    assert fps == 50 and {source.rate for source in sources} == {50}
    assert [source.fps for source in sources] == rates
    again, other = read_splits(tiny_recipe, RunConfig(f"manifest:{own_manifest}", fps="native"))
    assert again == "native" and other[2].clips[0].source.rate is None


def test_clips_filmed_at_other_rates(tiny_recipe, manifest: Path) -> None:
    """The same with preload, where a clip that becomes too short keeps its own images."""
    data = f"manifest:{manifest}"
    clips = prepare_clips(tiny_recipe, data, read_split(data, "train"), fps=25)
    length = clips[0].source.num_frames()
    tight = replace(clips[0], glosses=tuple(f"G{k}" for k in range(length)))
    clips = [*clips, tight]
    rates = next(
        rates
        for rates in (OtherRates(0.9, 25.0, seed) for seed in range(100))
        if rates.filmed(tight, 5, 1).source.num_frames() < length
    )
    read = replace(tiny_recipe, training=replace(tiny_recipe.training, preload=False))
    kept, read = (read_clips(each, "x", clips, other_rates=rates) for each in (tiny_recipe, read))
    assert [len(others) for others in kept.preloaded_others] == [6] * 3
    assert kept.preloaded_others[1][5] is kept[5]
    for epoch in range(8):
        for index in range(6):
            assert kept.in_epoch(epoch, index).equal(read.in_epoch(epoch, index))


def test_a_split_trained_at_other_rates_is_scored_as_it_is(tiny_recipe, manifest: Path) -> None:
    augmentation = replace(tiny_recipe.augmentation, other_rates=0.9)
    recipe = replace(tiny_recipe, augmentation=augmentation)
    run = RunConfig(f"manifest:{manifest}", test_split="train", fps=25)
    _, (train_set, dev_set, test_set) = read_splits(recipe, run)
    assert train_set.other_rates is not None and dev_set.other_rates is None
    found = [[kept.in_epoch(0, k) for k in range(5)] for kept in (train_set, test_set)]
    assert all(test.equal(train_set[k]) for k, test in enumerate(found[1]))
    assert any(ours.shape != theirs.shape for ours, theirs in zip(*found, strict=True))


def test_other_rates_of_a_run(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    augmentation = replace(tiny_recipe.augmentation, other_rates=0.5)
    recipe = replace(tiny_recipe, augmentation=augmentation)
    assert other_rates_of(tiny_recipe, RunConfig(fps="native", flow_cache=tmp_path)) is None
    assert other_rates_of(recipe, RunConfig(fps=30)) == OtherRates(0.5, 30, 0)
    with pytest.raises(UserError, match=rf"^other_rates: found the flow cache {tmp_path}; expect"):
        other_rates_of(recipe, RunConfig(fps=30, flow_cache=tmp_path))
    native = RunConfig(f"manifest:{manifest}", tmp_path / "run")  # folders of unknown rate
    for run in (native, replace(native, fps="native")):
        with pytest.raises(UserError, match=r"^other_rates: found fps native; expected a rate"):
            train(recipe, run)


def annotated(*texts: str) -> list[AnnotatedClip]:
    source = SyntheticSource("", ("A",), "statement", 0, (0, 0))
    return [AnnotatedClip(str(n), source, text, None, None, "", "") for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "units", "message"),
    [
        (["A ship, captain!", "the ship again"], "word", "6 of 6 words .* occur once; --text-u"),
        (["今天天气很好", "明天会下雨"], "word", "2 of 2 training texts have one token"),
        (["a b a b", "a b"], "word", None),
        (["今天今天", "今天"], "character", None),
    ],
)
def test_warns_of_texts_that_cannot_be_learned(caplog, texts, units: str, message) -> None:
    warn_of_rare_words(annotated(*texts), TextUnits(units))
    assert bool(caplog.messages) == (message is not None)
    if message:
        assert re.search(message, caplog.text)
