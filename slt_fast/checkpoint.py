"""Checkpoints that a kill at any moment cannot break.

A run's folder holds `checkpoints/step-N.0/` and two links, `best` and `last`. A checkpoint is
written under a temporary name, synced, renamed, and only then linked; the links are swapped
atomically. A checkpoint that no link names is deleted. Weights are safetensors, the rest is JSON:
nothing is ever unpickled.

    model.safetensors       weights and buffers
    model.json              recipe, data set, vocabularies, flow parameters, version
    training.safetensors    optimiser and random states
    training.json           epoch, step, scores
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from slt_fast import __version__
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import Vocabulary
from slt_fast.errors import DataError
from slt_fast.files import read_json, sync, to_json
from slt_fast.model.network import TranslationNetwork
from slt_fast.ops.extension import cuda_refusal
from slt_fast.recipe import Recipe, recipe_from_json, recipe_to_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedOn:
    """The data of a run.

    Args:
        data: "synthetic[:SEED]", "phoenix14t:PATH" or "manifest:FILE".
        train_split: Split that was learned from.
        dev_split: Split that chose the best checkpoint.
        test_split: Split that is scored at the end.
        train_clips_sha256: Of id, text and glosses of the training clips.
        skip_bad: Whether clips that could not be read were left out.
        flow_cache: Folder that their flow was read from; None if it was computed.
    """

    data: str
    train_split: str
    dev_split: str
    test_split: str
    train_clips_sha256: str
    skip_bad: bool
    flow_cache: str | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A trained network and everything needed to feed and read it."""

    network: TranslationNetwork
    recipe: Recipe
    vocabularies: Vocabularies
    trained_on: TrainedOn


def build_network(recipe: Recipe, vocabularies: Vocabularies) -> TranslationNetwork:
    """A network with fresh weights for these vocabularies."""
    return TranslationNetwork(
        recipe.model, num_glosses=len(vocabularies.gloss), num_words=len(vocabularies.text)
    )


def save_checkpoint(
    run: Path,
    step: int,
    links: tuple[str, ...],
    trained: TrainedModel,
    *,
    tensors: dict[str, torch.Tensor],
    progress: dict[str, Any],
) -> None:
    """Writes one checkpoint and points links at it.

    Args:
        run: The run's folder.
        step: Training steps done; names the checkpoint.
        links: "last", "best" or both.
        trained: The model, its recipe and vocabularies.
        tensors: Optimiser and random states.
        progress: Epoch, step and scores, ready for JSON.

    Raises:
        OSError: The checkpoint cannot be written (a full disk, say); the one before stays whole.
    """
    # Never the name of an older checkpoint: a link may still point at that one.
    folder, number = run / "checkpoints", 0
    while (final := folder / f"step-{step:08d}.{number}").exists():
        number += 1
    temporary = folder / f".writing-{final.name}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(_contiguous(trained.network.state_dict()), temporary / "model.safetensors")
        save_file(_contiguous(tensors), temporary / "training.safetensors")
        _write_json(temporary / "model.json", _description(trained))
        _write_json(temporary / "training.json", progress)
        for path in (*temporary.iterdir(), temporary):
            sync(path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"{final}: could not write the checkpoint: {error}") from error
    os.replace(temporary, final)
    # Best goes first: a run that resumes from `last` finds the best checkpoint that it knows of.
    for link in sorted(links, key=("best", "last").index):
        _point(run / link, final)
    _delete_unlinked(run)


def load_model(checkpoint: Path) -> TrainedModel:
    """The model of a checkpoint, on the CPU, in evaluation mode.

    Args:
        checkpoint: A checkpoint's folder or link, such as `runs/quickstart/best`, or a run's
            folder, which means its `best`.

    Raises:
        DataError: A missing or broken file, or weights of another shape than the recipe says.
        ValueError: The flow that the model was trained on cannot be computed here.
    """
    folder = checkpoint_folder(checkpoint)
    recipe, vocabularies, trained_on = read_description(folder)
    model = build_network(without_weights(recipe), vocabularies)
    load_weights(model, folder / "model.safetensors")
    return TrainedModel(model.eval(), recipe, vocabularies, trained_on)


def read_description(folder: Path) -> tuple[Recipe, Vocabularies, TrainedOn]:
    """What model.json in a checkpoint's folder says.

    Raises:
        DataError: A missing or broken file, or flow that cannot be computed here.
    """
    path = folder / "model.json"
    description = read_json(path)
    try:
        recipe = recipe_from_json(_with_runnable_backend(description["recipe"]))
        vocabularies = Vocabularies(
            Vocabulary.from_json(description["text"]), Vocabulary.from_json(description["glosses"])
        )
        trained_on = TrainedOn(**description["trained_on"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"{error}", "the description that slt_fast writes") from error
    _check_flow(path, description.get("flow"), recipe)
    return recipe, vocabularies, trained_on


def checkpoint_folder(checkpoint: Path) -> Path:
    """The folder that holds a checkpoint's files; of a run's folder, its best checkpoint."""
    checkpoint = Path(checkpoint)
    for folder in (checkpoint, checkpoint / "best"):
        if (folder / "model.json").is_file():
            return folder
    expected = "a checkpoint's folder (with model.json in it) or a run's folder (with best in it)"
    raise DataError(checkpoint, "no model.json" if checkpoint.exists() else "nothing", expected)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Loads weights, all of them and no others.

    Raises:
        DataError: A missing or broken file, or a name or shape that does not fit the model.
    """
    found, expected = load_tensors(path), model.state_dict()
    for name in sorted(found.keys() ^ expected.keys()):
        raise DataError(
            path,
            f"{'no' if name in expected else 'an unknown'} tensor {name!r}",
            "the tensors of the model that model.json describes",
        )
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise DataError(path, f"{name} of {[*tensor.shape]}", f"{[*expected[name].shape]}")
    model.load_state_dict(found)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        DataError: A missing or broken file.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "a safetensors file") from error
    except (OSError, SafetensorError) as error:
        raise DataError(path, f"{error}", "a whole safetensors file") from error


def _description(trained: TrainedModel) -> dict[str, Any]:
    return {
        "slt_fast": __version__,
        "recipe": recipe_to_json(trained.recipe),
        "trained_on": asdict(trained.trained_on),
        "flow": trained.recipe.input.parameters(),
        "text": trained.vocabularies.text.to_json(),
        "glosses": trained.vocabularies.gloss.to_json(),
    }


def _with_runnable_backend(values: Any) -> Any:
    """A model trained on flow of the GPU's kernels runs without one, on the CPU's same flow."""
    if values["input"]["flow_backend"] != "cuda" or cuda_refusal() is None:
        return values
    return {**values, "input": {**values["input"], "flow_backend": "auto"}}


def _check_flow(path: Path, recorded: object, recipe: Recipe) -> None:
    """Flow by another algorithm or with other parameters is another input.

    So is our own of another version. That of a library counts releases, which need not change it.
    """
    computed = recipe.input.parameters()
    if not isinstance(recorded, dict):
        raise DataError(path, f"flow {recorded!r}", "the flow's parameters")
    expected = dict(computed)
    if computed.get("algorithm") == "opencv_dis" and "version" in recorded:
        expected["version"] = recorded["version"]
    if recorded != expected:
        raise DataError(path, f"a model trained on flow {recorded}", f"{computed}, as made here")
    if expected != computed:
        versions = f"{recorded['version']}, now {computed['version']}"
        logger.warning("%s: trained on flow of version %s", path, versions)


def without_weights(recipe: Recipe) -> Recipe:
    """The recipe with a backbone that starts from nothing: its weights come from the checkpoint."""
    return replace(recipe, model=replace(recipe.model, backbone_weights="none"))


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(to_json(values), encoding="utf-8")


def _point(link: Path, target: Path) -> None:
    temporary = link.with_name(f".{link.name}.writing")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
    os.replace(temporary, link)


def _delete_unlinked(run: Path) -> None:
    kept = {(run / link).resolve() for link in ("best", "last") if (run / link).exists()}
    for folder in (run / "checkpoints").iterdir():
        if folder.resolve() not in kept:
            shutil.rmtree(folder, ignore_errors=True)
