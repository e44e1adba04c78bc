"""Exported models say what the package says, in a process that does not know it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.checkpoint import TrainedModel, build_network
from slt_fast.data.batching import PackedClips
from slt_fast.data.input import InputConfig
from slt_fast.errors import UserError
from slt_fast.export.folder import export_model
from slt_fast.export.graphs import export_graphs, plain_network
from slt_fast.inference.translate import translate_batch
from tests.export.models import MODELS, trained_model

# Between them, most of what a graph is made of.
QUICK = ("heads", "pixel")
PROGRAM = Path(__file__).with_name("translating.py")
_LENGTHS = (1, 2, 5, 9, 16)


def _clips() -> list[np.ndarray]:
    """Returns clips that differ, of lengths that the graphs were not made with as well."""
    random = np.random.default_rng(0)
    shapes = [(T, 3, 32, 32) for T in _LENGTHS]
    return [random.random(shape, np.float32) ** (1 + number) for number, shape in enumerate(shapes)]


def _said_by_package(trained: TrainedModel) -> list[list[str]]:
    said = []
    for clip in _clips():
        batch = PackedClips((), torch.from_numpy(clip), torch.tensor([len(clip)]))
        found = translate_batch(trained, batch, search=trained.recipe.search)[0]
        said.append([found.text, " ".join(found.glosses)])
    return said


def _said_without_package(folder: Path, clips: Path) -> dict[str, list[list[str]]]:
    command = [sys.executable, PROGRAM, folder, clips]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=clips)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_exported_models_say_what_the_package_says(tmp_path, name) -> None:
    (clips := tmp_path / "clips").mkdir()
    for number, clip in enumerate(_clips()):
        np.save(clips / f"{number}.npy", clip)
    trained = trained_model(name)
    assert export_model(trained, tmp_path / "exported") < 1e-4
    expected = _said_by_package(trained)
    assert len({text for text, _ in expected}) > 1, "the clips differ"
    assert _said_without_package(tmp_path / "exported", clips) == {
        "onnx": expected,
        "torch": expected,
    }


def test_graphs_have_no_operators_of_their_own() -> None:
    for graph in export_graphs(trained_model("paper")).values():
        targets = {str(node.target) for node in graph.program.graph.nodes}
        assert not [target for target in targets if "slt_fast" in target]


def test_a_model_stays_as_it_was() -> None:
    trained = trained_model("paper")
    network = plain_network(trained)
    assert network is not trained.network
    assert trained.recipe.model.backend == "auto"
    assert all(parameter.requires_grad for parameter in trained.network.parameters())


def test_models_that_take_glosses_are_refused() -> None:
    trained = trained_model("paper")
    recipe = replace(trained.recipe, input=InputConfig(input="gloss"))
    network = build_network(recipe, trained.vocabularies)
    with pytest.raises(UserError, match="takes glosses; expected one that sees video"):
        export_graphs(replace(trained, recipe=recipe, network=network))
