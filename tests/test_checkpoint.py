import errno
import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import torch
import torchvision
from safetensors.torch import load_file, save_file

from slt_fast import checkpoint
from slt_fast.checkpoint import (
    TrainedModel,
    TrainedOn,
    build_network,
    checkpoint_folder,
    load_model,
    read_description,
    save_checkpoint,
)
from slt_fast.data.batching import Vocabularies
from slt_fast.data.text import TextConfig, TextUnits
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError
from slt_fast.files import read_json, write_json
from slt_fast.ops.extension import cuda_refusal
from slt_fast.ops.optical_flow import backends
from slt_fast.recipe import recipe_from_json

FILES = [
    "checksums.json",
    "model.json",
    "model.safetensors",
    "training.json",
    "training.safetensors",
]
FIRST_WEIGHT = "encoder.backbone.stem.0.weight"
TRAINED_ON = TrainedOn("synthetic", "train", "dev", "test", "0" * 64, False)
WORDS = Vocabularies(
    Vocabulary(TEXT_SPECIALS, ("hund", "schläft")), Vocabulary(GLOSS_SPECIALS, ("HUND",))
)


@pytest.fixture
def trained(tiny_recipe) -> TrainedModel:
    return TrainedModel(build_network(tiny_recipe, WORDS), tiny_recipe, WORDS, TRAINED_ON)


def save(run: Path, step: int, trained: TrainedModel, *links: str) -> None:
    """With the step in the weights, so that a test can tell which checkpoint it finds."""
    with torch.no_grad():
        trained.network.get_parameter(FIRST_WEIGHT).fill_(step)
    tensors = {"random.cpu": torch.full((3,), step)}
    progress = {"step": step}
    save_checkpoint(run, step, links or ("last",), trained, tensors=tensors, progress=progress)


def step_of(folder: Path) -> int:
    """The step of a checkpoint, of which all files must be whole and belong together."""
    folder = checkpoint_folder(folder)
    step = read_json(folder / "training.json")["step"]
    assert (load_file(folder / "training.safetensors")["random.cpu"] == step).all()
    assert (load_file(folder / "model.safetensors")[FIRST_WEIGHT] == step).all()
    assert recipe_from_json(read_json(folder / "model.json")["recipe"])
    assert sorted(path.name for path in folder.iterdir()) == FILES
    return step


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path, trained: TrainedModel) -> None:
    trained.network.train()
    save(tmp_path, 7, trained, "last", "best")
    for place in (tmp_path, tmp_path / "last", tmp_path / "checkpoints" / names(tmp_path)[0]):
        found = load_model(place)
        assert found.recipe == trained.recipe and found.vocabularies == WORDS
        assert found.trained_on == TRAINED_ON
        assert not found.network.training
        for name, value in trained.network.state_dict().items():
            assert torch.equal(found.network.state_dict()[name], value), name
    description = read_json(checkpoint_folder(tmp_path / "best") / "model.json")
    assert description["flow"] == trained.recipe.input.parameters()
    assert description["recipe"]["training"]["epochs"] == trained.recipe.training.epochs


def test_channels_last_weights_are_saved_as_they_are(tmp_path: Path, trained: TrainedModel) -> None:
    trained.network.to(memory_format=torch.channels_last)
    save(tmp_path, 1, trained, "best")
    found = load_model(tmp_path).network.state_dict()
    assert all(
        torch.equal(found[name], value) for name, value in trained.network.state_dict().items()
    )


def test_only_linked_checkpoints_are_kept(tmp_path: Path, trained: TrainedModel) -> None:
    save(tmp_path, 1, trained, "last")
    save(tmp_path, 2, trained, "last", "best")
    save(tmp_path, 3, trained, "last")
    save(tmp_path, 4, trained, "last")
    save(tmp_path, 5, trained, "last")
    assert names(tmp_path) == [f"step-0000000{step}.0" for step in (2, 4, 5)]
    pointed = {name: step_of(tmp_path / name) for name in ("best", "previous", "last")}
    assert pointed == {"best": 2, "previous": 4, "last": 5}
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert step_of(moved / "best") == 2  # pointers are relative


def linked(run: Path) -> None:
    """Turns the pointers of a run into links, as earlier versions wrote them."""
    for name in ("best", "last"):
        folder = checkpoint_folder(run / name)
        (run / name).unlink()
        (run / name).symlink_to(folder.relative_to(run), target_is_directory=True)


@pytest.mark.parametrize("copies_follow_links", [False, True])
def test_links_of_earlier_versions_go_on(
    tmp_path: Path, trained: TrainedModel, copies_follow_links: bool
) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    save(run, 1, trained, "last", "best")
    save(run, 2, trained, "last")
    linked(run)
    shutil.copytree(run, copy, symlinks=not copies_follow_links)
    assert (copy / "last").is_symlink() != copies_follow_links
    assert step_of(copy) == 1 and step_of(copy / "last") == 2
    save(copy, 3, trained, "last")
    assert step_of(copy / "best") == 1 and step_of(copy / "last") == 3
    save(copy, 4, trained, "last", "best")
    assert step_of(copy / "best") == step_of(copy / "last") == 4
    assert names(copy) == ["step-00000003.0", "step-00000004.0"]


def test_a_run_is_whole_in_any_copy(tmp_path: Path, trained: TrainedModel) -> None:
    save(tmp_path / "run", 1, trained, "last", "best")
    save(tmp_path / "run", 2, trained, "last")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_symlink()]
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    shutil.rmtree(tmp_path / "run")
    assert step_of(tmp_path / "copy" / "best") == 1 and step_of(tmp_path / "copy" / "last") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"checkpoints/gone\n", "found a pointer to .*run/checkpoints/gone, which is missing"),
        (b"checkpoints/../../other", r"found 'checkpoints/\.\./\.\./other'; expected one line, ch"),
        (b"/etc", "found '/etc'; expected one line, checkpoints/NAME"),
        (b"checkpoints/..", "; expected one line, checkpoints/NAME"),
        (b"checkpoints/a\nb", "; expected one line, checkpoints/NAME"),
        (b"checkpoints/\xff", "found no text; expected one line, checkpoints/NAME"),
        (b"", "found ''; expected one line, checkpoints/NAME"),
        (b"a" * 9999, "found 'a{200}'; expected one line, checkpoints/NAME"),
    ],
)
def test_a_pointer_leads_to_its_own_run(tmp_path: Path, trained, content, message: str) -> None:
    save(tmp_path / "run", 1, trained, "last", "best")
    (tmp_path / "run" / "best").write_bytes(content)
    fails(tmp_path / "run" / "best", message)


def test_the_same_step_again(tmp_path: Path, trained: TrainedModel) -> None:
    for links in (["last"], ["last", "best"], ["last"], ["last", "best"]):
        save(tmp_path, 5, trained, *links)
        assert step_of(tmp_path / "last") == 5
    assert len(names(tmp_path)) == 2  # with the one before


class Killed(BaseException):
    """Not an Exception: nothing may clean up after it."""


OPERATIONS = ("fsync", "link", "mkdir", "open", "remove", "rename", "replace", "rmdir", "symlink")


def killed_at(monkeypatch, number: int) -> None:
    """Stops the program before its file operation of this number."""
    calls = iter(range(10_000))

    def stopping(operation):
        def call(*arguments, **options):
            if next(calls) >= number:
                raise Killed
            return operation(*arguments, **options)

        return call

    for name in (*OPERATIONS, "unlink"):
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))
    monkeypatch.setattr(checkpoint, "save_file", stopping(checkpoint.save_file))


@pytest.mark.parametrize(
    "step", [2, pytest.param(3, marks=pytest.mark.slow)], ids=["same_step", "next_step"]
)
def test_killed_before_any_file_operation(
    tmp_path: Path, trained: TrainedModel, monkeypatch, step: int
) -> None:
    save(tmp_path / "start", 1, trained, "last", "best")
    save(tmp_path / "start", 2, trained, "last")
    for number in range(1000):
        run = tmp_path / str(number)
        shutil.copytree(tmp_path / "start", run, symlinks=True)
        with monkeypatch.context() as patch:
            killed_at(patch, number)
            try:
                save(run, step, trained, "last", "best")
                break
            except Killed:
                pass
        last, best = step_of(run / "last"), step_of(run / "best")
        assert last in (2, step) and best in (1, step)
        # The other way round, a resumed run would believe in a best checkpoint that is not there.
        assert best == step or last == 2
        for folder in (run / "checkpoints").glob("step-*"):
            if folder not in map(checkpoint_folder, (run / "last", run / "best")):
                continue  # half deleted, perhaps, but nothing points at it
            assert step_of(folder) in (1, 2, step)
        save(run, step, trained, "last", "best")
        assert step_of(run / "last") == step_of(run / "best") == step
        assert step_of(run / "previous") in (2, step)
        assert len(names(run)) == 2 and not list(run.glob(".*"))
    assert number > 15


def test_killed_before_the_first_checkpoint(tmp_path, trained, monkeypatch) -> None:
    for number in range(1000):
        run = tmp_path / str(number)
        with monkeypatch.context() as patch:
            killed_at(patch, number)
            try:
                save(run, 1, trained, "last", "best")
                break
            except Killed:
                pass
        for link in ("last", "best"):
            if (run / link).exists():
                assert step_of(run / link) == 1
        if (run / "last").exists():
            assert step_of(run / "best") == 1
    assert number > 10


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        safetensors.SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
    ids=["OSError", "SafetensorError"],
)
def test_disk_full(tmp_path, trained, monkeypatch, failing: int, error: Exception) -> None:
    save(tmp_path, 1, trained, "last", "best")
    calls = iter((1, 2))

    def half_written(tensors, path):
        save_file(tensors, path)
        if next(calls) == failing:
            path.write_bytes(path.read_bytes()[:100])
            raise error

    monkeypatch.setattr(checkpoint, "save_file", half_written)
    message = r"step-00000002.0: could not write the checkpoint: .*No space left on device"
    with pytest.raises(OSError, match=message):
        save(tmp_path, 2, trained, "last", "best")
    assert names(tmp_path) == ["step-00000001.0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoints", "last"]
    assert step_of(tmp_path / "last") == step_of(tmp_path / "best") == 1


def test_disk_full_at_the_json(tmp_path, trained, monkeypatch) -> None:
    save(tmp_path, 1, trained, "last", "best")

    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="could not write the checkpoint"):
        save(tmp_path, 2, trained, "last")
    assert names(tmp_path) == ["step-00000001.0"] and step_of(tmp_path / "last") == 1


@pytest.fixture
def saved(tmp_path: Path, trained: TrainedModel) -> Path:
    save(tmp_path, 1, trained, "best", "last")
    return checkpoint_folder(tmp_path / "best")


def change(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = values
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(values), encoding="utf-8")


def fails(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_subwords(tmp_path: Path, trained: TrainedModel) -> None:
    config = TextConfig("subword", 30)
    units = TextUnits.learn(config, ["ein hund schläft"])
    recipe, words = replace(trained.recipe, text=config), replace(WORDS, units=units)
    save(tmp_path, 1, replace(trained, recipe=recipe, vocabularies=words), "best")
    folder = checkpoint_folder(tmp_path)
    assert load_model(folder).vocabularies == words
    kept = read_json(folder / "model.json")["subwords"]
    for subwords, message in (
        (None, "found none with text_units 'subword'; expected some"),
        (kept[:200], "found no model of sentencepiece"),
        (7, "not 'int'"),
    ):
        change(folder / "model.json", subwords=subwords)
        fails(folder, message)
    words = {"recipe__text__text_units": "word", "recipe__text__num_subwords": 2000}
    change(folder / "model.json", subwords=kept, **words)
    fails(folder, "found some with text_units 'word'; expected none")


def test_no_checkpoint(tmp_path: Path) -> None:
    fails(tmp_path / "nowhere", r"nowhere: found nothing; expected a checkpoint's folder")
    fails(tmp_path, r"found no model\.json; expected a checkpoint's folder .* or a run's folder")


def test_missing_weights(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    fails(saved, r"model\.safetensors: found no such file; expected a safetensors file")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_weights(saved: Path, share: float) -> None:
    path = saved / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    fails(saved, r"model\.safetensors: found .*; expected a whole safetensors file")


class Explosive:
    """What unpickling would run."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_pickled_weights_are_refused(saved: Path, monkeypatch, write) -> None:
    monkeypatch.chdir(saved)
    write({"weight": Explosive()}, saved / "model.safetensors")
    fails(saved, r"model\.safetensors: found .*; expected a whole safetensors file")
    assert not (saved / "exploded").exists()


def test_weights_of_another_shape(saved: Path) -> None:
    change(saved / "model.json", recipe__model__width=64)
    fails(saved, r"model\.safetensors: found \S+ of \[.*32.*\]; expected \[.*64.*\]")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe__model__decoder_layers": 2}, "found no tensor 'decoder"),
        ({"recipe__model__temporal_convolution": 3}, "found no tensor 'encoder"),
    ],
)
def test_weights_that_are_missing(saved: Path, changes: dict, message: str) -> None:
    change(saved / "model.json", **changes)
    fails(saved, message + ".*; expected the tensors of the model that model.json describes")


def test_weights_that_are_too_many(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors") | {"extra": torch.zeros(1)}
    save_file(tensors, saved / "model.safetensors")
    fails(saved, "found an unknown tensor 'extra'; expected the tensors of the model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found .*; expected a JSON file"),
        (b'{"recipe": {', "found .*; expected a JSON file"),
        (b"\xff\xfe", "found .*; expected a JSON file"),
        (b"[1]", "found a JSON list; expected a JSON object"),
        (b"{}", "found 'recipe'; expected the description that slt_fast writes"),
    ],
)
def test_broken_description(saved: Path, content: bytes, message: str) -> None:
    (saved / "model.json").write_bytes(content)
    fails(saved, rf"model\.json: {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe__model__flavour": 1}, r"model: found unknown \['flavour'\]"),
        ({"recipe__training": []}, "training: found list"),
        ({"recipe__training__epochs": 0}, "epochs: found 0; expected at least 1"),
        ({"recipe__training__epochs": "ten"}, "expected the description that slt_fast writes"),
        ({"recipe__input__flow_preset": "x"}, "flow_preset: found 'x'; expected one of"),
        ({"text": {"specials": [], "words": []}}, "vocabulary: found no specials"),
        ({"glosses": None}, "vocabulary: found NoneType"),
        ({"trained_on": {"data": "synthetic"}}, "expected the description that slt_fast writes"),
    ],
)
def test_description_of_another_kind(saved: Path, changes: dict, message: str) -> None:
    change(saved / "model.json", **changes)
    fails(saved, rf"model\.json: found .*{message}")


def test_vocabulary_of_another_size(saved: Path) -> None:
    change(saved / "model.json", text__words=["hund"])
    fails(saved, r"model\.safetensors: found decoder\S+ of \[6.*\]; expected \[5")


@pytest.mark.parametrize(
    "changes",
    [
        {"flow__algorithm": "own"},
        {"flow__preset": "best"},
        {"flow__refinement_iterations": 99},
        {"flow": {}},
        {"recipe__input__flow_preset": "best"},
        {"recipe__input__input": "rgb"},
    ],
)
def test_other_flow(saved: Path, changes: dict) -> None:
    change(saved / "model.json", **changes)
    fails(saved, r"model\.json: found a model trained on flow \{.*\}; expected \{.*as made here")


def test_learned_flow_of_other_weights(tmp_path: Path, trained: TrainedModel, monkeypatch) -> None:
    for name in ("ours", "theirs"):
        weights = torchvision.models.optical_flow.raft_small().state_dict()
        torch.save(weights, tmp_path / f"{name}.pth")
    recipe = replace(trained.recipe, input=replace(trained.recipe.input, flow_preset="raft_small"))
    monkeypatch.setenv("SLT_FAST_RAFT_WEIGHTS", str(tmp_path / "ours.pth"))
    save(tmp_path, 1, replace(trained, recipe=recipe))
    assert load_model(tmp_path / "last").recipe == recipe
    monkeypatch.setenv("SLT_FAST_RAFT_WEIGHTS", str(tmp_path / "theirs.pth"))
    fails(tmp_path / "last", r"model\.json: found a model trained on flow \{.*raft.*weights_sha256")


def test_no_flow_recorded(saved: Path) -> None:
    change(saved / "model.json", flow=None)
    fails(saved, r"model\.json: found flow None; expected the flow's parameters")


def test_another_version_of_our_flow_is_refused(saved: Path) -> None:
    load_model(saved)
    change(saved / "model.json", flow__version=0)
    fails(saved, r"model\.json: found a model trained on flow \{.*'version': 0")


def test_another_version_of_a_library_warns(tmp_path: Path, trained: TrainedModel, caplog) -> None:
    recipe = replace(trained.recipe, input=replace(trained.recipe.input, flow_backend="opencv"))
    save(tmp_path, 1, replace(trained, recipe=recipe), "best")
    load_model(tmp_path)
    assert not caplog.records
    change(checkpoint_folder(tmp_path / "best") / "model.json", flow__version="1.2.3")
    load_model(tmp_path)
    assert "trained on flow of version 1.2.3, now " in caplog.text


def test_opencv_flow_by_the_code_of_version_0_1(tmp_path: Path, trained: TrainedModel) -> None:
    """That code was equal to cv2 5.0.0, to the bit."""
    flow_input = replace(trained.recipe.input, flow_preset="opencv_fast")
    save(tmp_path, 1, replace(trained, recipe=replace(trained.recipe, input=flow_input)), "best")
    path = checkpoint_folder(tmp_path / "best") / "model.json"
    change(path, flow__algorithm="slt_fast_opencv_dis", flow__version=1)
    assert load_model(tmp_path).recipe.input == flow_input
    change(path, recipe__input__flow_backend="cpu")
    assert load_model(tmp_path).recipe.input == flow_input
    change(path, flow__descent_iterations=99)
    fails(tmp_path, r"model\.json: found a model trained on flow \{.*'descent_iterations': 99")


def test_flow_of_a_gpu_needs_none(saved: Path) -> None:
    if cuda_refusal() is None:
        pytest.skip("needs a machine without a GPU; torch.cuda finds one")
    change(saved / "model.json", recipe__input__flow_backend="cuda")
    assert load_model(saved).recipe.input.flow_backend == "auto"


@pytest.mark.parametrize("backend", ["auto", "cpu", "cuda"])
def test_without_the_extension_its_flow_is_refused(saved: Path, monkeypatch, backend: str) -> None:
    for module in (checkpoint, backends):
        monkeypatch.setattr(module, "EXTENSION", None)
        monkeypatch.setattr(module, "REFUSAL", "it is not built; `make setup` builds it")
    monkeypatch.setattr(checkpoint, "cuda_refusal", lambda: "it is not built")
    change(saved / "model.json", recipe__input__flow_backend=backend)
    found = "found a model trained on the flow of slt_fast's extension"
    expected = "expected that extension here, but it is not built; `make setup` builds it"
    fails(saved, rf"model\.json: {found}; {expected}$")
    change(saved / "model.json", recipe__input__flow_backend="reference")
    assert load_model(saved).recipe.input.flow_backend == "reference"
    change(saved / "model.json", flow__version=0)
    fails(saved, r"model\.json: found a model trained on flow \{.*'version': 0")


def test_rgb_model_has_no_flow(tmp_path: Path, trained: TrainedModel) -> None:
    recipe = replace(trained.recipe, input=replace(trained.recipe.input, input="rgb"))
    save(tmp_path, 1, replace(trained, recipe=recipe), "best")
    assert read_json(checkpoint_folder(tmp_path / "best") / "model.json")["flow"] == {}
    assert load_model(tmp_path).recipe == recipe


def test_a_model_of_version_0_1(tmp_path: Path, tiny_recipe) -> None:
    """Its description, as that version wrote it for this recipe, with weights made here."""
    shutil.copy(Path(__file__).with_name("model_0_1_0.json"), tmp_path / "model.json")
    recipe, words, trained_on = read_description(tmp_path)
    assert recipe == tiny_recipe and len(words.text) == 13
    assert trained_on.data == "manifest:clips/manifest.csv"
    network = build_network(recipe, words)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    found = load_model(tmp_path).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())


def test_a_recipe_from_before_the_search_for_glosses(tmp_path, trained: TrainedModel) -> None:
    save(tmp_path, 1, trained, "best")
    path = checkpoint_folder(tmp_path / "best") / "model.json"
    description = read_json(path)
    assert description["recipe"]["search"].pop("gloss_beam_size") == 1
    write_json(path, description)
    assert load_model(tmp_path).recipe == trained.recipe
    description["recipe"]["search"] = []
    write_json(path, description)
    fails(path.parent, "search: found list; expected a JSON object")


def test_a_recipe_from_before_other_backbones(tmp_path: Path, trained: TrainedModel) -> None:
    save(tmp_path, 1, trained, "best")
    path = checkpoint_folder(tmp_path / "best") / "model.json"
    description = read_json(path)
    assert description["recipe"]["model"].pop("backbone") == "resnet18"
    write_json(path, description)
    assert load_model(tmp_path).recipe == trained.recipe
    description["recipe"]["model"]["backbone"] = "r3d_18"  # whose weights are others
    write_json(path, description)
    fails(path.parent, r"found an unknown tensor 'encoder\.backbone\.")


def test_a_recipe_from_before_newer_settings(tmp_path: Path, trained: TrainedModel) -> None:
    save(tmp_path, 1, trained, "best")
    path = checkpoint_folder(tmp_path / "best") / "model.json"
    description = read_json(path)
    assert description["recipe"]["augmentation"].pop("other_rates") == 0
    assert description["recipe"]["augmentation"].pop("gloss_dropout") == 0
    assert description["recipe"]["model"].pop("encoder_layers") == 3
    assert description["recipe"]["model"].pop("attention")
    write_json(path, description)
    assert load_model(tmp_path).recipe == trained.recipe
    description["recipe"]["augmentation"].pop("zoom")
    write_json(path, description)
    fails(path.parent, r"augmentation: found unknown \[\], missing \['zoom'\]; expected all keys")


def test_a_model_without_attention(tmp_path: Path, trained: TrainedModel) -> None:
    recipe = replace(trained.recipe, model=replace(trained.recipe.model, attention=False))
    network = build_network(recipe, trained.vocabularies)
    save(tmp_path, 1, replace(trained, recipe=recipe, network=network), "best")
    assert load_model(tmp_path).recipe == recipe
    path = checkpoint_folder(tmp_path / "best") / "model.json"
    change(path, recipe__model__attention=True)
    fails(path.parent, "found no tensor 'encoder.layer.attention.qkv.weight'")


def test_a_backbone_of_version_0_1_that_never_was(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("model_0_1_0.json"), tmp_path / "model.json")
    change(tmp_path / "model.json", recipe__model__backbone="resnet50")
    fails(tmp_path, r"model\.json: found backbone: found 'resnet50'; expected 'resnet18'")


def test_backbone_weights_are_not_fetched_again(tmp_path, trained, monkeypatch) -> None:
    def fetch(*arguments, **options):
        raise AssertionError("looked for weights that the checkpoint holds")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fetch)
    for weights in ("imagenet", "gone.pth"):
        model = replace(trained.recipe.model, backbone_weights=weights)
        run = tmp_path / weights
        save(run, 1, replace(trained, recipe=replace(trained.recipe, model=model)), "best")
        assert load_model(run).recipe.model.backbone_weights == weights


def test_a_copied_checkpoint_needs_no_links(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    shutil.rmtree(tmp_path / "checkpoints")
    assert step_of(tmp_path / "copy") == 1


def test_the_seed_of_a_synthetic_corpus_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "3").touch()
    for data, located in (
        ("synthetic:3", "synthetic:3"),
        ("synthetic-agreement:3", "synthetic-agreement:3"),
        ("manifest:3", f"manifest:{tmp_path / '3'}"),
    ):
        trained_on = replace(TRAINED_ON, data=data, folder=str(tmp_path))
        assert trained_on.located().data == located
