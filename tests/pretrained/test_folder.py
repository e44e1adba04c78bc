import os
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from slt_fast import Translator, checkpoint
from slt_fast.checkpoint import load_model
from slt_fast.errors import DataError, UserError
from slt_fast.pretrained import fetch_pretrained, save_pretrained

FILES = ["README.md", "model.json", "model.safetensors"]


def test_what_is_saved_is_loaded_to_the_bit(trained, tmp_path: Path) -> None:
    Translator(trained).save_pretrained(tmp_path / "hund")
    assert sorted(os.listdir(tmp_path / "hund")) == FILES
    found = Translator.from_pretrained(tmp_path / "hund", device="cpu").trained
    expected = trained.network.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in found.network.state_dict().items())
    assert (found.recipe, found.vocabularies.text.words) == (trained.recipe, ("ein", "hund"))
    assert (tmp_path / "hund/README.md").read_text().count("# hund\n") == 1


def test_half_precision_is_loaded_into_float32(trained, tmp_path: Path) -> None:
    save_pretrained(tmp_path / "hund", trained, dtype="float16")
    stored = load_file(tmp_path / "hund/model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16, torch.int64}
    found = load_model(tmp_path / "hund").network.state_dict()
    for name, weight in trained.network.state_dict().items():
        assert found[name].dtype == weight.dtype  # the model that was saved is as it was
        rounded = weight.half().float() if weight.is_floating_point() else weight
        assert torch.equal(found[name].to(rounded.dtype), rounded), name


def test_folders_of_this_machine_are_not_passed_on(trained, tmp_path: Path) -> None:
    model = replace(trained.recipe.model, backbone_weights="/secret/resnet18.pth")
    trained = replace(trained, recipe=replace(trained.recipe, model=model))
    save_pretrained(tmp_path / "hund", trained)
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "hund").iterdir())
    assert load_model(tmp_path / "hund").trained_on.data == "manifest:hunde.csv"
    seed = replace(trained, trained_on=replace(trained.trained_on, data="synthetic:7"))
    save_pretrained(tmp_path / "seven", seed)
    assert load_model(tmp_path / "seven").trained_on.data == "synthetic:7"


def test_files_of_others_are_left_alone(trained, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="found a folder with files in it; expected a new or empty"):
        save_pretrained(tmp_path, trained)
    with pytest.raises(DataError, match=r"thesis\.tex: found a file; expected a new or empty"):
        save_pretrained(tmp_path / "thesis.tex", trained)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    save_pretrained(tmp_path / "empty", trained)
    assert sorted(os.listdir(tmp_path / "empty")) == FILES


@pytest.mark.parametrize(("value", "dtype"), [(1e5, "float16"), (float("nan"), "float32")])
def test_weights_that_the_file_cannot_hold(trained, tmp_path: Path, value, dtype) -> None:
    with torch.no_grad():
        trained.network.decoder.output.bias[0] = value
    message = rf"^decoder\.output\.bias: found a weight that {dtype} cannot hold; expected finite"
    with pytest.raises(UserError, match=message):
        save_pretrained(tmp_path / "hund", trained, dtype=dtype)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_full(trained, tmp_path: Path, monkeypatch) -> None:
    def save_file(*_: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    with pytest.raises(OSError, match="hund: could not write the model: No space left on device"):
        save_pretrained(tmp_path / "hund", trained)
    assert os.listdir(tmp_path) == []


def test_half_precision_is_checked_as_other_weights_are(trained, tmp_path: Path) -> None:
    save_pretrained(tmp_path / "hund", trained, dtype="float16")
    weights = load_file(tmp_path / "hund/model.safetensors")
    weights["decoder.output.bias"][0] = float("inf")
    save_file(weights, tmp_path / "hund/model.safetensors")
    with pytest.raises(DataError, match=r"found NaN or infinity in decoder\.output\.bias"):
        Translator.from_pretrained(tmp_path / "hund")


def test_a_name_is_downloaded_without_the_rest_of_its_files(trained, tmp_path, monkeypatch) -> None:
    save_pretrained(tmp_path / "cache", trained)
    asked = []

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, sorted(allow_patterns)))
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = Translator.from_pretrained("anna/hund", device="cpu")
    assert asked == [("anna/hund", ["model.json", "model.safetensors"])]
    assert found.trained.vocabularies.text.words == ("ein", "hund")


def test_what_cannot_be_downloaded(tmp_path: Path, monkeypatch) -> None:
    expected = r"; expected a folder, or the USER/MODEL of a model on the Hugging Face Hub$"
    with pytest.raises(
        UserError, match=rf"^from_pretrained: found no folder {tmp_path}.*{expected}"
    ):
        fetch_pretrained(tmp_path / "gone")  # refused as a name before the network is asked

    def snapshot_download(name: str, **_: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    message = r"found no folder anna/hund, and could not download it \(no network\)"
    with pytest.raises(UserError, match=message + expected):
        fetch_pretrained("anna/hund")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"no module huggingface_hub; .*pip install '\.\[hub\]'"):
        fetch_pretrained("anna/hund")
    assert fetch_pretrained(tmp_path) == tmp_path  # a folder needs no Hub
