"""Checkpoints from elsewhere: whatever is changed in them, they load or are refused by name."""

import copy
import json
import math
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from slt_fast import checkpoint
from slt_fast.checkpoint import checkpoint_folder, load_model
from slt_fast.errors import DataError, UserError
from slt_fast.model.backbone import Backbone
from slt_fast.ops.optical_flow import raft
from slt_fast.state_dict import check_state_dict, read_state_dict
from slt_fast.training.datasets import read_splits
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig
from slt_fast.training.trainer import Trainer

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 10**6, 2**63, 10**400, 0.5, math.nan, math.inf, -math.inf),
    *("", "nan", "true", "a\0", "\ud800", [], [1, 2], [[1], 2], {}, {"a": 1}),
]


# All changes take a minute; every 29th of them, which meets each kind, a second.
STEPS = [pytest.param(1, marks=pytest.mark.slow), 29]


@pytest.fixture(scope="module")
def run(tmp_path_factory, manifest: Path) -> RunConfig:
    """A run of one step; its checkpoint is changed and put back."""
    return RunConfig(f"manifest:{manifest}", tmp_path_factory.mktemp("runs") / "run", resume=True)


@pytest.fixture
def saved(run: RunConfig, tiny_recipe) -> Path:
    if not (run.output / "last").exists():
        train(tiny_recipe, RunConfig(run.data, run.output))
    return checkpoint_folder(run.output / "last")


@pytest.fixture
def trainer(saved: Path, run: RunConfig, tiny_recipe) -> Trainer:
    _, (train_set, *_) = read_splits(tiny_recipe, run)
    return Trainer(tiny_recipe, run, train_set, None)


@pytest.fixture(autouse=True)
def built_once(monkeypatch) -> None:
    """Networks of the same settings, of which building takes most of the time."""
    real, built = checkpoint.build_network, {}

    def build(recipe, words):
        sizes = len(words.text), len(words.gloss)
        key = (recipe.model, *sizes, str(torch.get_default_device()))
        if key not in built:
            built[key] = real(recipe, words)
        return built[key]

    monkeypatch.setattr(checkpoint, "build_network", build)


def changed(values: Any) -> Iterator[tuple[str, Any]]:
    """Yields the values with one of them replaced, added or removed, at every depth."""
    places = list(_places(values))
    for number, (where, _, _) in enumerate(places):
        for value in (*VALUES, "REMOVED", "ADDED"):
            other = copy.deepcopy(values)
            _, parent, key = list(_places(other))[number]
            if value == "REMOVED":
                del parent[key]
            elif value != "ADDED":
                parent[key] = value
            elif isinstance(parent, dict):
                parent["added"] = parent[key]
            else:
                parent.append(parent[key])
            yield f"{where} = {value!r}", other


def _places(values: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in list(entries):
        yield f"{where}/{key}", values, key
        if isinstance(value, dict | list):
            yield from _places(value, f"{where}/{key}")


def loads_or_is_refused(load: Callable[[], object], change: str) -> bool:
    """Returns whether it loads; any other error than a UserError fails the test."""
    try:
        load()
    except UserError as error:
        assert "\n" not in str(error), change
        return False
    except Exception as error:
        raise AssertionError(f"{change}: {type(error).__name__}: {error}") from error
    return True


@pytest.mark.parametrize("step", STEPS)
def test_every_value_of_the_description(saved: Path, step: int) -> None:
    path = saved / "model.json"
    content = path.read_text()
    outcomes = set()
    try:
        for change, values in islice(changed(json.loads(content)), 0, None, step):
            path.write_text(json.dumps(values))
            outcomes.add(loads_or_is_refused(lambda: load_model(saved), change))
    finally:
        path.write_text(content)
    load_model(saved)
    assert outcomes == {True, False}


@pytest.mark.parametrize("step", STEPS)
def test_every_value_of_the_progress(saved: Path, trainer: Trainer, step: int) -> None:
    path = saved / "training.json"
    content = path.read_text()
    try:
        for change, values in islice(changed(json.loads(content)), 0, None, step):
            path.write_text(json.dumps(values))
            loads_or_is_refused(trainer.resume, change)
    finally:
        path.write_text(content)
    trainer.resume()


@pytest.mark.parametrize("name", ["model.json", "training.json"])
@pytest.mark.parametrize("content", ["[" * 10**5, '{"a":' * 10**5, "1" * 5000, "NaN", ""])
def test_json_of_no_use(saved: Path, trainer: Trainer, name: str, content: str) -> None:
    path = saved / name
    before = path.read_text()
    try:
        path.write_text(content)
        with pytest.raises(DataError, match=rf"{name}: found .*; expected a JSON"):
            trainer.resume()
    finally:
        path.write_text(before)


def header_of(content: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def with_header(content: bytes, header: object) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields a safetensors file with changes of its header, as values and as bytes."""
    header = header_of(content)
    names = [name for name in header if name != "__metadata__"][:3]
    for change, values in changed({name: header[name] for name in names}):
        yield change, with_header(content, header | values)
    for dtype in ("F64", "F16", "BF16", "I64", "I32", "U8", "BOOL", "C64", "F8_E4M3", "F4", "X"):
        for name in names:
            entry = header[name] | {"dtype": dtype}
            yield f"{name} {dtype}", with_header(content, header | {name: entry})
    (length,) = struct.unpack("<Q", content[:8])
    for place in (*range(8), *range(8, 8 + min(length, 400), 3)):
        for byte in (0, 34, 48, 125, 255):
            other = bytearray(content)
            other[place] = byte
            yield f"byte {place} = {byte}", bytes(other)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
@pytest.mark.parametrize("step", STEPS)
def test_every_header(saved: Path, trainer: Trainer, name: str, step: int) -> None:
    path = saved / name
    content = path.read_bytes()
    expected = {key: value.clone() for key, value in load_file(path).items()}
    is_model = name.startswith("model")
    try:
        for change, other in islice(damaged(content), 0, None, step):
            path.write_bytes(other)
            load = (lambda: load_model(saved)) if is_model else trainer.resume
            if loads_or_is_refused(load, change):
                found = load_file(path)
                assert {key: value.shape for key, value in found.items()} == {
                    key: value.shape for key, value in expected.items()
                }, change
    finally:
        path.write_bytes(content)
    load_model(saved)
    trainer.resume()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("decoder_layers", 10**6),
        ("decoder_layers", 2**62),
        ("width", 2**40),
        ("decoder_feed_forward", 2**62),
        ("key_channels", 2**62),
        ("temporal_convolution", 2**40 + 1),
        ("memory_map_size", [2**31, 2**31]),
    ],
)
def test_sizes_are_compared_before_anything_is_built(
    saved: Path, monkeypatch, setting: str, value: object
) -> None:
    monkeypatch.setattr(checkpoint, "build_network", lambda *_: pytest.fail("built"))
    path = saved / "model.json"
    content = path.read_text()
    values = json.loads(content)
    values["recipe"]["model"][setting] = value
    try:
        path.write_text(json.dumps(values))
        with pytest.raises(DataError, match=r"model\.safetensors: found "):
            load_model(saved)
    finally:
        path.write_text(content)


WEIGHT = torch.ones(2, 3)
OTHERS = {
    "nan": (torch.full((2, 3), math.nan), "found NaN or infinity in weight; expected finite"),
    "inf": (torch.full((2, 3), math.inf), "found NaN or infinity in weight; expected finite"),
    "too large": (torch.full((2, 3), 1e300, dtype=torch.float64), "found NaN or infinity in w"),
    "complex": (WEIGHT.cfloat(), r"found weight of torch\.complex64; expected torch\.float32"),
    "integer": (WEIGHT.long(), r"found weight of torch\.int64; expected torch\.float32"),
    "bool": (WEIGHT.bool(), r"found weight of torch\.bool; expected torch\.float32"),
    "sparse": (
        WEIGHT.to_sparse(),
        r"found weight of torch\.sparse_coo on cpu, torch\.float32",
    ),
    "meta": (WEIGHT.to("meta"), r"found weight of torch\.strided on meta, torch\.float32"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_weights_of_another_kind_are_named(tmp_path: Path, kind: str) -> None:
    tensor, message = OTHERS[kind]
    torch.save({"weight": tensor}, path := tmp_path / "a.pth")
    found = read_state_dict(path, "a state dict")
    with pytest.raises(DataError, match=rf"a\.pth: {message}"):
        check_state_dict(found, {"weight": WEIGHT}, source=path, expected="its tensors")


def test_halves_are_weights_as_well() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {"weight": WEIGHT.to(dtype)}
        check_state_dict(state, {"weight": WEIGHT}, source="a.pth", expected="its tensors")


@pytest.mark.parametrize("name", [1, None, ("a",), b"weight"])
def test_names_that_are_no_strings(tmp_path: Path, name: object) -> None:
    torch.save({name: WEIGHT}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="found a tensor named by the .*; expected a state dict"):
        read_state_dict(tmp_path / "a.pth", "a state dict")


def test_backbone_and_flow_weights_are_checked(tmp_path: Path, monkeypatch) -> None:
    state = torchvision.models.resnet18().state_dict()
    state["conv1.weight"][0, 0, 0, 0] = math.nan
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"found NaN or infinity in conv1\.weight"):
        Backbone(weights=str(tmp_path / "a.safetensors"))
    state = torchvision.models.optical_flow.raft_small().state_dict()
    name = next(iter(state))
    torch.save(state | {name: state[name].cfloat()}, tmp_path / "b.pth")
    monkeypatch.setenv(raft.WEIGHTS_VARIABLE, str(tmp_path / "b.pth"))
    with pytest.raises(DataError, match=rf"found {name} of torch\.complex64; expected torch\.fl"):
        raft.raft_parameters("raft_small")


def test_damaged_files_of_torch_save(tmp_path: Path) -> None:
    torch.save({"weight": WEIGHT}, path := tmp_path / "a.pth")
    content = path.read_bytes()
    for place in range(0, len(content), 41):
        for byte in (0, 46, 255):
            path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
            change = f"byte {place} = {byte}"
            loads_or_is_refused(lambda: read_state_dict(path, "a state dict"), change)
