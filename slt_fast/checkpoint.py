"""Trained models on disk, in checkpoints that survive a kill at any moment.

A run's folder holds `checkpoints/step-N.0/` and two links, `best` and `last`. A checkpoint is
written under a temporary name, synced, renamed, and only then linked. Links are swapped atomically.
Checkpoints without a link are deleted. Weights are safetensors, the rest is JSON, and nothing is
ever unpickled.

    model.safetensors       weights and buffers
    model.json              recipe, data set, vocabularies, flow parameters, version
    training.safetensors    optimiser and random states
    training.json           epoch, step, scores
"""

import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import Vocabulary
from slt_fast.errors import DataError
from slt_fast.files import read_json, replace_link, replacing_folder, write_json
from slt_fast.model.network import TranslationNetwork
from slt_fast.ops.extension import cuda_refusal
from slt_fast.ops.optical_flow.presets import OPENCV_PRESETS
from slt_fast.recipe import Recipe, recipe_from_json, upgraded_from_0_1
from slt_fast.state_dict import StateDict, check_state_dict, read_state_dict
from slt_fast.version import __version__

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedOn:
    """The data of a run."""

    data: str  # "synthetic[:SEED]", "phoenix14t:PATH" or "manifest:FILE"
    train_split: str  # split the model learned from
    dev_split: str  # split that chose the best checkpoint
    test_split: str  # split that is scored at the end
    train_clips_sha256: str  # hash of id, text and glosses of the training clips
    skip_bad: bool  # whether clips that could not be read were left out
    flow_cache: str | None = None  # folder the flow was read from; None if flow was computed


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with everything needed to feed it and to read its output."""

    network: TranslationNetwork
    recipe: Recipe
    vocabularies: Vocabularies
    trained_on: TrainedOn


def build_network(recipe: Recipe, vocabularies: Vocabularies) -> TranslationNetwork:
    """Builds a network with fresh weights for these vocabularies."""
    return TranslationNetwork(
        recipe.model, num_glosses=len(vocabularies.gloss), num_words=len(vocabularies.text)
    )


def save_checkpoint(
    run_folder: Path,
    step: int,
    links: tuple[str, ...],
    trained: TrainedModel,
    *,
    tensors: StateDict,
    progress: dict[str, Any],
) -> None:
    """Writes a checkpoint of a run, named by its step, and points "last", "best" or both at it.

    Args:
        tensors: Optimiser and random states.
        progress: Epoch, step and scores, ready for JSON.

    Raises:
        OSError: The checkpoint cannot be written (a full disk, say); the one before stays whole.
    """
    # Never reuses the name of an older checkpoint, because a link may still point at that one.
    folder, number = run_folder / "checkpoints", 0
    while (final := folder / f"step-{step:08d}.{number}").exists():
        number += 1
    try:
        with replacing_folder(final) as temporary:
            save_file(_contiguous(trained.network.state_dict()), temporary / "model.safetensors")
            save_file(_contiguous(tensors), temporary / "training.safetensors")
            write_json(temporary / "model.json", _description(trained))
            write_json(temporary / "training.json", progress)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{final}: could not write the checkpoint: {error}") from error
    # Best goes first, so that a run resumed from `last` finds the best checkpoint it knows of.
    for link in sorted(links, key=("best", "last").index):
        replace_link(run_folder / link, final)
    _delete_unlinked(run_folder)


def load_model(checkpoint: Path) -> TrainedModel:
    """Loads the model of a checkpoint to the CPU, in evaluation mode.

    Args:
        checkpoint: Folder or link of a checkpoint, such as `runs/quickstart/best`, or the folder of
            a run, which means its `best`.

    Raises:
        DataError: A file is missing or broken, weights do not fit the recipe, or the flow that the
            model was trained on cannot be computed here.
    """
    folder = checkpoint_folder(checkpoint)
    recipe, vocabularies, trained_on = read_description(folder)
    network = build_network(without_weights(recipe), vocabularies)
    weights = load_tensors(path := folder / "model.safetensors")
    expected = "the tensors of the model that model.json describes"
    check_state_dict(weights, network.state_dict(), source=path, expected=expected)
    network.load_state_dict(weights)
    return TrainedModel(network.eval(), recipe, vocabularies, trained_on)


def read_description(folder: Path) -> tuple[Recipe, Vocabularies, TrainedOn]:
    """Reads model.json in the folder of a checkpoint.

    Raises:
        DataError: The file is missing or broken, or the flow cannot be computed here.
    """
    path = folder / "model.json"
    description = read_json(path)
    try:
        values = upgraded_from_0_1(description["recipe"])
        recipe = recipe_from_json(_with_runnable_backend(values))
        vocabularies = Vocabularies(
            Vocabulary.from_json(description["text"]), Vocabulary.from_json(description["glosses"])
        )
        trained_on = TrainedOn(**description["trained_on"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"{error}", "the description that slt_fast writes") from error
    _check_flow(path, _upgraded_flow_from_0_1(description.get("flow")), recipe)
    return recipe, vocabularies, trained_on


def checkpoint_folder(checkpoint: Path) -> Path:
    """Returns the folder with a checkpoint's files; for a run, that of its best checkpoint."""
    checkpoint = Path(checkpoint)
    for folder in (checkpoint, checkpoint / "best"):
        if (folder / "model.json").is_file():
            return folder
    expected = "a checkpoint's folder (with model.json in it) or a run's folder (with best in it)"
    raise DataError(checkpoint, "no model.json" if checkpoint.exists() else "nothing", expected)


def load_tensors(path: Path) -> StateDict:
    """Reads the tensors of a safetensors file; raises DataError if it is missing or broken."""
    if not path.is_file():
        raise DataError(path, "no such file", "a safetensors file")
    return read_state_dict(path, "a whole safetensors file")


def without_weights(recipe: Recipe) -> Recipe:
    """Returns the recipe with an untrained backbone, whose weights come from a checkpoint."""
    return replace(recipe, model=replace(recipe.model, backbone_weights="none"))


def _description(trained: TrainedModel) -> dict[str, Any]:
    return {
        "slt_fast": __version__,
        "recipe": asdict(trained.recipe),
        "trained_on": asdict(trained.trained_on),
        "flow": trained.recipe.input.parameters(),
        "text": trained.vocabularies.text.to_json(),
        "glosses": trained.vocabularies.gloss.to_json(),
    }


def _with_runnable_backend(values: dict[str, Any]) -> dict[str, Any]:
    """Replaces a flow backend that cannot run here by "auto", which computes the same flow."""
    # The CPU computes a GPU's flow, and cv2 that of version 0.1's own code for OpenCV's presets.
    backend, preset = values["input"]["flow_backend"], values["input"]["flow_preset"]
    is_cuda_missing = backend == "cuda" and cuda_refusal() is not None
    if is_cuda_missing or (backend == "cpu" and preset in OPENCV_PRESETS):
        return {**values, "input": {**values["input"], "flow_backend": "auto"}}
    return values


def _upgraded_flow_from_0_1(recorded: object) -> object:
    """Names cv2 5.0.0 for flow of version 0.1's own code, which was equal to it to the bit."""
    if isinstance(recorded, dict) and recorded.get("algorithm") == "slt_fast_opencv_dis":
        return {**recorded, "algorithm": "opencv_dis", "version": "5.0.0"}
    return recorded


def _check_flow(path: Path, recorded: object, recipe: Recipe) -> None:
    """Raises DataError if the model was trained on other flow than is computed here."""
    computed = recipe.input.parameters()
    if not isinstance(recorded, dict):
        raise DataError(path, f"flow {recorded!r}", "the flow's parameters")
    expected = dict(computed)
    # Another version of OpenCV only warns, because a new release need not change the flow.
    if computed.get("algorithm") == "opencv_dis" and "version" in recorded:
        expected["version"] = recorded["version"]
    if recorded != expected:
        raise DataError(path, f"a model trained on flow {recorded}", f"{computed}, as made here")
    if expected != computed:
        versions = f"{recorded['version']}, now {computed['version']}"
        logger.warning("%s: trained on flow of version %s", path, versions)


def _contiguous(tensors: StateDict) -> StateDict:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _delete_unlinked(run_folder: Path) -> None:
    links = [run_folder / name for name in ("best", "last")]
    kept = {link.resolve() for link in links if link.exists()}
    for folder in (run_folder / "checkpoints").iterdir():
        if folder.resolve() not in kept:
            shutil.rmtree(folder, ignore_errors=True)
