"""A run that is broken off, anywhere, and goes on."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file

from slt_fast import checkpoint
from slt_fast.checkpoint import TrainedModel, build_network, checkpoint_folder, save_checkpoint
from slt_fast.data.batching import Vocabularies
from slt_fast.data.sources import read_split
from slt_fast.errors import DataError
from slt_fast.files import read_json, write_json
from slt_fast.recipe import Recipe
from slt_fast.training import loop, trainer
from slt_fast.training.checks import check_resumable
from slt_fast.training.datasets import trained_on
from slt_fast.training.lock import locked
from slt_fast.training.log import RunLog
from slt_fast.training.loop import train
from slt_fast.training.resuming import (
    check_same_run,
    prepare_output,
    settings_to_resume,
)
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer


def with_training(recipe: Recipe, **settings) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **settings))


def weights(run: RunConfig, link: str = "last") -> dict[str, torch.Tensor]:
    return load_file(checkpoint_folder(run.output / link) / "model.safetensors")


def assert_same_weights(first: RunConfig, second: RunConfig) -> None:
    ours, theirs = weights(first), weights(second)
    for name, value in ours.items():
        assert torch.equal(theirs[name], value), name


def records(run: RunConfig) -> list[dict]:
    return [json.loads(line) for line in (run.output / "metrics.jsonl").read_text().splitlines()]


def without_times(run: RunConfig) -> list[dict]:
    """The lines of metrics.jsonl, which a resumed run shares with an unbroken one."""
    lines = records(run)
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        # An epoch that was trained to its end before the stop has no pace.
        assert line.pop("seconds") > 0
        assert line.pop("frames_a_second", 1.0) > 0 and line.pop("seconds_a_step", 1.0) > 0
        assert "train.text" in line
    return lines


class BrokenOff(BaseException):
    """A run that stops here and now."""


def break_off(recipe: Recipe, run: RunConfig, steps: int, monkeypatch) -> None:
    """Trains until it has done so many steps."""
    real, done = Trainer.train_step, iter(range(10_000))

    def train_step(self, clips, parts):
        if next(done) == steps:
            raise BrokenOff
        return real(self, clips, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        with pytest.raises(BrokenOff):
            train(recipe, run)


@pytest.mark.parametrize(
    ("steps", "saved_step", "is_preloaded"),
    [
        pytest.param(3, 3, True, id="epoch", marks=pytest.mark.slow),
        pytest.param(4, 3, True, id="back_to_epoch", marks=pytest.mark.slow),
        pytest.param(4, 4, True, id="within_epoch", marks=pytest.mark.slow),
        pytest.param(5, 5, False, id="within_last"),
        pytest.param(1, 1, False, id="within_first", marks=pytest.mark.slow),
        pytest.param(0, None, True, id="from_nothing", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(
    tiny_recipe, run, monkeypatch, steps: int, saved_step: int | None, is_preloaded: bool
) -> None:
    often = saved_step is not None and saved_step % 3 != 0
    recipe = with_training(
        tiny_recipe, preload=is_preloaded, checkpoint_minutes=1e-9 if often else 10.0
    )
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    expected, _ = train(recipe, unbroken)
    break_off(recipe, run, steps, monkeypatch)
    if saved_step:
        progress = read_json(checkpoint_folder(run.output / "last") / "training.json")
        assert progress["step"] == saved_step
    torch.manual_seed(123)
    torch.rand(7)  # another process starts from other random states
    run.output.mkdir(exist_ok=True)  # a kill leaves the folder, an error removes an empty one
    metrics, _ = train(recipe, replace(run, resume=True))
    assert_same_weights(run, unbroken)
    for name in expected.keys() - {"test.seconds_total"}:
        assert metrics[name] == expected[name], name
    assert without_times(run) == without_times(unbroken)


@pytest.mark.parametrize("steps", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_run_with_other_rates_is_resumed_exactly(
    tiny_recipe, run, monkeypatch, steps: int
) -> None:
    """Even if the images were preloaded before, and are read again now."""
    augmentation = replace(tiny_recipe.augmentation, other_rates=0.7)
    recipe = with_training(replace(tiny_recipe, augmentation=augmentation), checkpoint_minutes=1e-9)
    run = replace(run, fps=25)
    unbroken, plain = (replace(run, output=run.output.with_name(name)) for name in "up")
    train(recipe, unbroken)
    train(with_training(tiny_recipe, checkpoint_minutes=1e-9), plain)
    break_off(recipe, run, steps, monkeypatch)
    train(with_training(recipe, preload=False), replace(run, resume=True))
    assert_same_weights(run, unbroken)
    with pytest.raises(AssertionError):
        assert_same_weights(plain, unbroken)


@pytest.mark.parametrize("is_preloaded", [pytest.param(True, marks=pytest.mark.slow), False])
def test_flow_made_on_the_device_changes_nothing(
    tiny_recipe, run, monkeypatch, is_preloaded: bool
) -> None:
    recipe = with_training(tiny_recipe, preload=is_preloaded, checkpoint_minutes=1e-9)
    expected = replace(run, output=run.output.with_name("expected"))
    train(recipe, expected)
    monkeypatch.setattr("slt_fast.training.datasets.flow_device", lambda _, device: device)
    break_off(recipe, run, 4, monkeypatch)
    train(recipe, replace(run, resume=True))
    assert_same_weights(run, expected)


def test_a_run_of_version_0_1_is_resumed_exactly(tiny_recipe, run, monkeypatch) -> None:
    """Its last checkpoint describes the same recipe in that version's form."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)
    break_off(tiny_recipe, run, 3, monkeypatch)
    path = checkpoint_folder(run.output / "last") / "model.json"
    old = read_json(Path(__file__).parents[1] / "model_0_1_0.json")
    assert old["recipe"]["training"]["beam_size"] == 2
    write_json(path, read_json(path) | {"slt_fast": "0.1.0", "recipe": old["recipe"]})
    path.with_name("checksums.json").unlink()
    train(tiny_recipe, replace(run, resume=True))
    assert_same_weights(run, unbroken)
    path = checkpoint_folder(run.output / "last") / "model.json"
    path.write_text(path.read_text().replace('"beam_size": 2', '"beam_size": 3'))
    path.with_name("checksums.json").unlink()
    with pytest.raises(DataError, match=r"found search\.beam_size 3; expected 2, as asked for now"):
        train(tiny_recipe, replace(run, resume=True))


@pytest.mark.slow
def test_the_optimizer_matters_for_these_runs(tiny_recipe, run, monkeypatch) -> None:
    """Without its state the resumed run would differ: the test above can fail."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)
    break_off(tiny_recipe, run, 3, monkeypatch)
    monkeypatch.setattr(trainer, "restore_state", lambda *_: None)
    train(tiny_recipe, replace(run, resume=True))
    with pytest.raises(AssertionError):
        assert_same_weights(run, unbroken)


def test_resuming_a_finished_run_scores_it_again(tiny_recipe, run) -> None:
    first, _ = train(tiny_recipe, run)
    (run.output / "metrics.json").unlink()
    second, _ = train(tiny_recipe, replace(run, resume=True))
    assert second["test.bleu4"] == first["test.bleu4"]
    assert second["test.seconds_total"] > first["test.seconds_total"]
    assert len(records(run)) == 2


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("training", "learning_rate", 0.5, r"training\.learning_rate 0\.003; expected 0\.5, as"),
        ("training", "seed", 9, r"training\.seed 0; expected 9, as asked for now"),
        ("model", "width", 64, r"model\.width 32; expected 64, as asked for now"),
        ("input", "image_size", 40, r"input\.image_size 32; expected 40, as asked for now"),
        ("augmentation", "zoom", 0.0, r"augmentation\.zoom 0\.1; expected 0\.0, as asked for now"),
        ("augmentation", "other_rates", 0.5, r"augmentation\.other_rates 0\.0; expected 0\.5, as"),
    ],
)
def test_resuming_with_other_settings(
    tiny_recipe, finished, monkeypatch, part: str, name: str, value: object, message: str
) -> None:
    """Before a clip is read."""
    monkeypatch.setattr(loop, "read_splits", lambda *_, **__: pytest.fail("read the clips"))
    recipe = with_training(tiny_recipe, epochs=1)
    recipe = replace(recipe, **{part: replace(getattr(recipe, part), **{name: value})})
    with pytest.raises(DataError, match=rf"checkpoints|last.*: found {message}") as caught:
        train(recipe, finished)
    assert len(str(caught.value)) < 300


def test_a_longer_training(tiny_recipe, finished) -> None:
    """More epochs continue a finished run; fewer are refused."""
    train(with_training(tiny_recipe, epochs=2), finished)
    assert [record["epoch"] for record in records(finished)] == [1, 2]
    recipe, _ = settings_to_resume(finished)
    assert recipe.training.epochs == 2
    with pytest.raises(DataError, match=r"training\.epochs 2; expected 1, as asked for now"):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_resuming_on_another_machine(tiny_recipe, finished) -> None:
    recipe = with_training(tiny_recipe, epochs=1, preload=False, checkpoint_minutes=1.0)
    metrics, _ = train(recipe, finished)
    assert "test.bleu4" in metrics


def test_resuming_with_other_data(tiny_recipe, run, own_manifest: Path) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    run = replace(run, data=f"manifest:{own_manifest}")
    train(recipe, run)
    finished = replace(run, resume=True)
    with pytest.raises(DataError, match="found train_split 'train'; expected 'dev', as asked"):
        train(recipe, replace(finished, train_split="dev"))
    with pytest.raises(DataError, match="found test_split 'test'; expected 'dev', as asked"):
        train(recipe, replace(finished, test_split="dev"))
    # The same words on other clips, under the same name.
    rows = own_manifest.read_text().splitlines()
    own_manifest.write_text("\n".join([rows[0], rows[2], rows[1], *rows[3:]]))
    with pytest.raises(DataError, match=r"found other training clips \(id, text or glosses\); exp"):
        train(recipe, finished)


def test_resuming_with_a_part_of_the_training_split(tiny_recipe, run) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    part = replace(run, train_clips=3)
    train(recipe, part)
    assert settings_to_resume(RunConfig(output=run.output, resume=True))[1].train_clips == 3
    for number in (None, 4):
        expected = f"found train_clips 3; expected {number}, as asked for now"
        with pytest.raises(DataError, match=expected):
            train(recipe, replace(part, train_clips=number, resume=True))
    train(with_training(recipe, epochs=2), replace(part, resume=True))
    assert [record["epoch"] for record in records(part)] == [1, 2]


def test_resuming_with_data_that_moved(
    tiny_recipe, run, own_manifest: Path, tmp_path: Path, monkeypatch
) -> None:
    """Relative, absolute, from another working directory, copied: the digest knows the clips."""
    recipe = with_training(tiny_recipe, epochs=1)
    monkeypatch.chdir(own_manifest.parent)
    run = replace(run, data="manifest:manifest.csv")
    train(recipe, run)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found, known = settings_to_resume(RunConfig(output=run.output, resume=True))
    assert found == recipe and known.data == f"manifest:{own_manifest}"
    # Another data set of the same name is not taken for it.
    Path("manifest.csv").write_text("id,video,text,split\n")
    assert settings_to_resume(RunConfig(output=run.output, resume=True))[1] == known
    Path("manifest.csv").unlink()
    train(recipe, known)
    moved = own_manifest.parent.rename(tmp_path / "moved") / own_manifest.name
    _, gone = settings_to_resume(RunConfig(output=run.output, resume=True))
    with pytest.raises(DataError, match="manifest.csv: found no such file"):
        train(recipe, gone)
    train(recipe, replace(gone, data=f"manifest:{moved}"))
    rows = moved.read_text().splitlines()
    moved.write_text("\n".join([rows[0], rows[2], rows[1], *rows[3:]]))
    with pytest.raises(DataError, match=r"found other training clips \(id, text or glosses\); exp"):
        train(recipe, replace(gone, data=f"manifest:{moved}"))


def test_a_relative_path_is_looked_for_where_the_error_says(tiny_recipe, run, tmp_path) -> None:
    message = rf"^gone\.csv: found no such file; .* file \(looked for in {Path.cwd()}\)$"
    with pytest.raises(DataError, match=message):
        train(tiny_recipe, replace(run, data="manifest:gone.csv"))


def test_a_copied_run_that_followed_links_is_resumed(tiny_recipe, finished, tmp_path) -> None:
    for name in ("best", "last"):
        folder = checkpoint_folder(finished.output / name)
        (finished.output / name).unlink()
        shutil.copytree(folder, finished.output / name)
    recipe = with_training(tiny_recipe, epochs=1)
    train(recipe, finished)
    assert "test.bleu4" in read_json(finished.output / "metrics.json")


def test_the_file_of_the_first_weights_may_have_moved(tiny_recipe, manifest, tmp_path) -> None:
    clips = read_split(f"manifest:{manifest}", "dev")
    words, data = Vocabularies.build(clips), trained_on(RunConfig(), clips)
    network = build_network(tiny_recipe, words)

    def began(weights: str) -> TrainedModel:
        model = replace(tiny_recipe.model, backbone_weights=weights)
        return TrainedModel(network, replace(tiny_recipe, model=model), words, data)

    check_same_run(tmp_path, began("old/resnet.pth"), began("new/resnet.pth"))
    for other in ("imagenet", "none"):
        with pytest.raises(DataError, match=r"found model\.backbone_weights"):
            check_same_run(tmp_path, began("old/resnet.pth"), began(other))


def test_resuming_without_the_clip_that_stopped_the_run(tiny_recipe, finished) -> None:
    recipe = with_training(tiny_recipe, epochs=1)
    metrics, _ = train(recipe, replace(finished, skip_bad=True))
    assert "test.bleu4" in metrics


def test_resuming_fetches_no_backbone_weights(tiny_recipe, finished, monkeypatch) -> None:
    def fetch(*arguments: object, **options: object) -> None:
        raise AssertionError("looked for weights that the checkpoint holds")

    path = checkpoint_folder(finished.output / "last") / "model.json"
    description = read_json(path)
    description["recipe"]["model"]["backbone_weights"] = "imagenet"
    write_json(path, description)
    path.with_name("checksums.json").unlink()
    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fetch)
    recipe = with_training(tiny_recipe, epochs=1)
    recipe = replace(recipe, model=replace(recipe.model, backbone_weights="imagenet"))
    metrics, _ = train(recipe, finished)
    assert "test.bleu4" in metrics


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("training.json", '{"epoch": 1', r"training\.json: found .*; expected a JSON file"),
        ("training.json", '{"epochs": 1}', "unexpected keyword .*; expected the state that slt"),
        ("training.safetensors", "", r"training\.safetensors: found .*; expected a whole saf"),
        ("training.safetensors", None, r"training\.safetensors: found no such file"),
        ("model.safetensors", None, r"model\.safetensors: found no such file"),
    ],
)
def test_resuming_from_a_broken_checkpoint(tiny_recipe, finished, name, content, message) -> None:
    for pointer in ("last", "previous"):
        path = checkpoint_folder(finished.output / pointer) / name
        path.unlink()
        path.with_name("checksums.json").unlink()  # as earlier versions left it
        if content is not None:
            path.write_text(content)
    with pytest.raises(DataError, match=message):
        train(with_training(tiny_recipe, epochs=1), finished)


def damage(folder: Path, name: str) -> None:
    """Changes one byte in the middle of a file, or deletes it."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 8
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(
    tiny_recipe, run, caplog, monkeypatch, name: str
) -> None:
    """Whose run goes on as if it had stopped there."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)
    often = with_training(tiny_recipe, checkpoint_minutes=1e-9)
    break_off(often, run, 5, monkeypatch)
    damage(checkpoint_folder(run.output / "last"), name)
    train(often, replace(run, resume=True))
    assert re.search(rf"{name}: found checksum .*the checkpoint before it is used", caplog.text)
    assert_same_weights(run, unbroken)
    assert without_times(run) == without_times(unbroken)


def test_two_damaged_checkpoints_are_refused(tiny_recipe, finished) -> None:
    for pointer in ("last", "previous"):
        damage(checkpoint_folder(finished.output / pointer), "model.safetensors")
    with pytest.raises(DataError, match=r"model\.safetensors: found checksum .* \(damaged\)"):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_resuming_from_the_wrong_tensors(tiny_recipe, finished) -> None:
    last = checkpoint_folder(finished.output / "last")
    (last / "checksums.json").unlink()
    shutil.copy(last / "model.safetensors", last / "training.safetensors")
    with pytest.raises(
        DataError,
        match=r"found none after 3 steps; .*; expected the state that slt",
    ):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_resuming_from_a_pointer_to_nothing(tiny_recipe, finished) -> None:
    shutil.rmtree(finished.output / "checkpoints")
    with pytest.raises(DataError, match="last: found a pointer to .*, which is missing"):
        train(with_training(tiny_recipe, epochs=1), finished)


def test_disk_full_leaves_the_checkpoint_before(tiny_recipe, run, monkeypatch) -> None:
    recipe, calls, real = (
        with_training(tiny_recipe, epochs=3),
        iter(range(99)),
        checkpoint.save_file,
    )

    def full(tensors, path):
        if next(calls) >= 5:  # the second tensors of the third checkpoint, two an epoch
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match=r"step-00000006.*No space left on device"):
            train(recipe, run)
    assert len(list((run.output / "checkpoints").iterdir())) == 2  # with the one before
    assert read_json(checkpoint_folder(run.output / "last") / "training.json")["epoch"] == 1
    train(recipe, replace(run, resume=True))
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(recipe, unbroken)
    assert_same_weights(run, unbroken)


def test_killed_while_scoring_dev(tiny_recipe, run, monkeypatch) -> None:
    """The epoch is saved before, with its time, and is not trained again."""
    unbroken = replace(run, output=run.output.with_name("unbroken"))
    train(tiny_recipe, unbroken)

    def evaluate(*arguments: object, **options: object) -> None:
        raise BrokenOff

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "evaluate", evaluate)
        with pytest.raises(BrokenOff):
            train(tiny_recipe, run)
    progress = read_json(checkpoint_folder(run.output / "last") / "training.json")
    assert (progress["epoch"], progress["batch"], progress["step"]) == (0, 3, 3)
    assert progress["seconds"] > 0
    train(tiny_recipe, replace(run, resume=True))
    assert_same_weights(run, unbroken)
    assert without_times(run) == without_times(unbroken)


@pytest.mark.parametrize("evaluate_every", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_epoch_that_is_logged_but_not_saved_is_logged_once(
    tiny_recipe, run, monkeypatch, evaluate_every: int
) -> None:
    """Even if the run has no checkpoint yet, and starts over."""
    recipe = with_training(tiny_recipe, evaluate_every=evaluate_every)
    real = trainer.save_checkpoint

    def save_checkpoint(*arguments, progress: dict, **options) -> None:
        if progress["epoch"] == 1:
            raise BrokenOff
        real(*arguments, progress=progress, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", save_checkpoint)
        with pytest.raises(BrokenOff):
            train(recipe, run)
    before = records(run)
    assert [record["epoch"] for record in before] == [1]
    train(recipe, replace(run, resume=True))
    times = {name: before[0][name] for name in ("seconds", "frames_a_second", "seconds_a_step")}
    assert before[0] == without_times(run)[0] | times


def test_only_lines_past_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path, log = tmp_path / "metrics.jsonl", RunLog(tmp_path)
    log.keep_epochs(0)
    assert not path.exists()
    kept = b'{"epoch": 1}\nmine\n[1]\n{"epoch": "x"}\n\xff\n{"epoch": 2}\n'
    path.write_bytes(kept)
    log.keep_epochs(2)
    assert path.read_bytes() == kept
    path.write_bytes(kept + b'{"epoch": 3}\n{"epoch": 2, "te')
    log.keep_epochs(2)
    assert path.read_bytes() == kept


@pytest.mark.parametrize("place", ["run", "."])
def test_a_finished_run_is_moved_aside(tmp_path: Path, monkeypatch, place: str) -> None:
    """Nothing that is not a run's own is touched: the folder may be the working directory."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder if place == "." else tmp_path)
    for number in range(3):
        run = RunConfig(output=Path(place))
        prepare_output(run)
        assert [path.name for path in folder.iterdir()] == ["own.txt"] * (number > 0)
        (folder / "last").mkdir()
        (folder / "metrics.json").write_text(str(number))
        (folder / "own.txt").touch()
    notes = {path.name: (path / "metrics.json").read_text() for path in tmp_path.iterdir()}
    assert notes == {"run.1": "0", "run.2": "1", "run": "2"}


def test_a_finished_run_in_a_mount_point_is_moved_within_it(tmp_path: Path, monkeypatch) -> None:
    folder, rename = tmp_path / "run", os.rename
    folder.mkdir()

    def rename_within(source: Path, target: Path) -> None:
        if folder not in target.parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_within)
    for number in range(2):
        (folder / "last").touch()
        (folder / "metrics.json").write_text(str(number))
        prepare_output(RunConfig(output=folder))
    notes = {path.name: (path / "metrics.json").read_text() for path in folder.iterdir()}
    assert notes == {"run.1": "0", "run.2": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_in_use_is_left_alone(tiny_recipe, finished) -> None:
    before = sorted(path.name for path in finished.output.iterdir())
    for resume in (False, True):
        with (
            locked(finished.output),
            pytest.raises(DataError, match=r"run: found a training by process \d+ on .*, started"),
        ):
            train(tiny_recipe, replace(finished, resume=resume))
    assert sorted(path.name for path in finished.output.iterdir()) == before
    assert not finished.output.with_name("run.1").exists()


def test_a_run_to_resume_stays(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    prepare_output(RunConfig(output=tmp_path, resume=True))
    assert (tmp_path / "last").exists()


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rum: found no such folder; expected the folder of a run"):
        check_resumable(RunConfig(output=tmp_path / "rum", resume=True))
    assert not (tmp_path / "rum").exists()


def test_settings_of_a_run_to_resume(tiny_recipe, manifest: Path, tmp_path: Path) -> None:
    data = f"manifest:{manifest}"
    run = RunConfig(data, tmp_path, skip_bad=True, train_split="dev", dev_split="test")
    run = replace(run, flow_cache=Path("flow"), fps=25, train_clips=1)
    bare = RunConfig(output=tmp_path, resume=True)
    clips = read_split(run.data, "dev")
    words = Vocabularies.build(clips)
    model = build_network(tiny_recipe, words)
    trained = TrainedModel(model, tiny_recipe, words, trained_on(run, clips))
    save_checkpoint(tmp_path, 1, ("last",), trained, tensors={}, progress={})
    assert settings_to_resume(bare) == (tiny_recipe, replace(run, resume=True))
    # Before there were flow caches, frame rates and parts, checkpoints did not name them.
    description = read_json(checkpoint_folder(tmp_path / "last") / "model.json")
    for name in ("flow_cache", "fps", "train_clips"):
        del description["trained_on"][name]
    write_json(checkpoint_folder(tmp_path / "last") / "model.json", description)
    (checkpoint_folder(tmp_path / "last") / "checksums.json").unlink()
    old = replace(run, resume=True, flow_cache=None, fps="native", train_clips=None)
    assert settings_to_resume(bare) == (tiny_recipe, old)


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
    check_same_run(tmp_path, found, asked)
