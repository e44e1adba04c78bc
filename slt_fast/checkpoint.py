"""Trained models on disk, in checkpoints that survive a kill at any moment.

A run's folder holds `checkpoints/step-N.0/` and three pointers, `best`, `last` and `previous` (the
one before the last): files of one line that name a checkpoint, so that any copy of a run is whole.
A checkpoint is written under a temporary name, synced, renamed, and only then pointed at. Pointers
are swapped atomically. Checkpoints without a pointer are deleted. Weights are safetensors, the rest
is JSON, and nothing is ever unpickled. Runs of earlier versions have links; those, and folders
copied from them, are read.

    model.safetensors       weights and buffers
    model.json              recipe, data set, vocabularies, flow parameters, version
    training.safetensors    state of the optimiser
    training.json           epoch, step, scores
    checksums.json          CRC-32 of the files above
"""

import logging
import re
import shutil
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from slt_fast.data.batching import Vocabularies
from slt_fast.data.frame_source import FrameRate
from slt_fast.data.sources import SYNTHETIC
from slt_fast.data.subwords import Subwords
from slt_fast.data.text import TextConfig, TextUnits
from slt_fast.data.vocabulary import GLOSS_SPECIALS, TEXT_SPECIALS, Vocabulary
from slt_fast.errors import DataError, UserError, warn_once
from slt_fast.files import (
    check_file,
    read_json,
    replacing,
    replacing_folder,
    seen_from,
    write_json,
)
from slt_fast.model.backbone import STAGE_CHANNELS
from slt_fast.model.config import ModelConfig
from slt_fast.model.network import TranslationNetwork
from slt_fast.ops.extension import EXTENSION, REFUSAL, cuda_refusal
from slt_fast.ops.optical_flow.presets import OPENCV_PRESETS
from slt_fast.recipe import Recipe, recipe_from_json, upgraded_from_0_1
from slt_fast.settings import Bounds, check_settings
from slt_fast.state_dict import StateDict, check_state_dict, read_state_dict
from slt_fast.version import __version__

logger = logging.getLogger(__name__)

_CHECKPOINTS = "checkpoints"
_CHECKSUMS = "checksums.json"
MODEL_FILES = ("model.safetensors", "model.json")  # what load_model reads
_FILES = (*MODEL_FILES, "training.safetensors", "training.json")
_LONGEST_POINTER = 200  # bytes
_ITS_TENSORS = "the tensors of the model that model.json describes"


@dataclass(frozen=True)
class TrainedOn:
    """The data of a run."""

    data: str  # synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE
    train_split: str  # split the model learned from
    dev_split: str  # split that chose the best checkpoint
    test_split: str  # split that is scored at the end
    train_clips_sha256: str  # hash of id, text and glosses of the training clips
    skip_bad: bool  # whether clips that could not be read were left out
    flow_cache: str | None = None  # folder the flow was read from; None if flow was computed
    folder: str | None = None  # working directory, to which relative paths belong
    # Frames per second that clips were resampled to; "native" if they were not, as by version 0.1.
    fps: FrameRate = "native"
    # Clips of the training split it learned from; None means all.
    train_clips: Annotated[int, Bounds(ge=1)] | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    def located(self) -> "TrainedOn":
        """Returns the same with relative paths as seen from folder, as far as they exist there."""
        kind, colon, place = self.data.partition(":")
        cache = None if self.flow_cache is None else self._locate(self.flow_cache)
        if kind not in SYNTHETIC:
            place = self._locate(place)
        return replace(self, data=f"{kind}{colon}{place}", flow_cache=cache)

    def without_folders(self) -> "TrainedOn":
        """Returns the same without the folders of this machine, for those it is passed on to."""
        kind, colon, place = self.data.partition(":")
        if kind not in SYNTHETIC:
            place = Path(place).name
        return replace(self, data=f"{kind}{colon}{place}", flow_cache=None, folder=None)

    def _locate(self, place: str) -> str:
        before = Path(self.folder or "", place)
        is_elsewhere = before.exists() and before.resolve() != Path(place).resolve()
        return str(before) if place and is_elsewhere else place


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with everything needed to feed it and to read its output."""

    network: TranslationNetwork
    recipe: Recipe
    vocabularies: Vocabularies
    trained_on: TrainedOn

    @property
    def recognises_glosses(self) -> bool:
        """True if it sees images and was trained with glosses, so that it can recognise some."""
        return self.recipe.input.has_images and bool(self.vocabularies.gloss.words)


def build_network(recipe: Recipe, vocabularies: Vocabularies) -> TranslationNetwork:
    """Builds a network with fresh weights for these vocabularies."""
    return TranslationNetwork(
        recipe.model,
        num_glosses=len(vocabularies.gloss),
        num_words=len(vocabularies.text),
        takes_glosses=not recipe.input.has_images,
    )


def save_checkpoint(
    run_folder: Path,
    step: int,
    pointers: tuple[str, ...],
    trained: TrainedModel,
    *,
    tensors: StateDict,
    progress: dict[str, Any],
) -> None:
    """Writes a checkpoint of a run, named by its step, and points "last", "best" or both at it.

    Args:
        tensors: State of the optimiser.
        progress: Epoch, step and scores, ready for JSON.

    Raises:
        OSError: The checkpoint cannot be written (a full disk, say); the one before stays whole.
    """
    # Never reuses the name of an older checkpoint, because a pointer may still name that one.
    folder, number = run_folder / _CHECKPOINTS, 0
    while (final := folder / f"step-{step:08d}.{number}").exists():
        number += 1
    try:
        with replacing_folder(final) as temporary:
            write_model(temporary, trained)
            save_file(_contiguous(tensors), temporary / "training.safetensors")
            write_json(temporary / "training.json", progress)
            write_json(temporary / _CHECKSUMS, _checksums(temporary))
    except (OSError, SafetensorError) as error:
        raise OSError(f"{final}: could not write the checkpoint: {error}") from error
    if "last" in pointers and (run_folder / "last").is_file():
        _point(run_folder / "previous", _pointed_at(run_folder / "last"))
    # Best goes first, so that a run resumed from `last` finds the best checkpoint it knows of.
    for name in sorted(pointers, key=("best", "last").index):
        _point(run_folder / name, final)
    _delete_others(run_folder)


def write_model(folder: Path, trained: TrainedModel) -> None:
    """Writes what load_model reads, in the dtype of the network, into a folder that exists."""
    save_file(_contiguous(trained.network.state_dict()), folder / "model.safetensors")
    write_json(folder / "model.json", _description(trained))


def load_model(checkpoint: Path) -> TrainedModel:
    """Loads the model of a checkpoint to the CPU in float32, in evaluation mode.

    Args:
        checkpoint: Folder or pointer of a checkpoint, such as `runs/quickstart/best`, or the
            folder of a run, which means its `best`.

    Raises:
        DataError: A file is missing or broken, weights do not fit the recipe, or the flow that the
            model was trained on cannot be computed here.
    """
    folder = checkpoint_folder(checkpoint)
    recipe, vocabularies, trained_on = read_description(folder)
    weights = load_tensors(path := folder / "model.safetensors")
    _check_sizes(path, weights, recipe, vocabularies)
    try:
        with torch.device("meta"):  # takes no memory
            planned = build_network(without_weights(recipe), vocabularies).state_dict()
    except UserError as error:
        raise DataError(folder / "model.json", str(error), "settings that fit together") from error
    check_state_dict(weights, planned, source=path, expected=_ITS_TENSORS)
    network = build_network(without_weights(recipe), vocabularies)
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
            Vocabulary.from_json(description["text"]),
            Vocabulary.from_json(description["glosses"]),
            _read_units(recipe.text, description.get("subwords")),
        )
        _check_specials(vocabularies)
        trained_on = TrainedOn(**description["trained_on"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(path, f"{error}", "the description that slt_fast writes") from error
    _check_flow(path, _upgraded_flow_from_0_1(description.get("flow")), recipe)
    return recipe, vocabularies, trained_on


def checkpoint_folder(checkpoint: Path) -> Path:
    """Returns the folder with a checkpoint's files; for a run, that of its best checkpoint.

    Raises:
        DataError: There is none.
    """
    checkpoint = Path(checkpoint)
    for place in (checkpoint, checkpoint / "best"):
        if ((folder := _pointed_at(place)) / "model.json").is_file():
            return folder
    found = "no model.json" if checkpoint.exists() else "nothing"
    if checkpoint.is_file():
        found = f"a pointer to {_pointed_at(checkpoint)}, which is missing"
    expected = "a checkpoint's folder (with model.json in it) or a run's folder (with best in it)"
    raise DataError(checkpoint, found, expected + seen_from(checkpoint))


def checkpoint_files(checkpoint: Path) -> list[Path]:
    """Lists the files that a model is loaded from, which nothing else may be written to.

    Raises:
        DataError: There is no checkpoint.
    """
    folder = checkpoint_folder(checkpoint)
    pointers = [place for place in (checkpoint, checkpoint / "best") if place.is_file()]
    return [*pointers, *(folder / name for name in (*_FILES, _CHECKSUMS))]


def latest_checkpoint(run_folder: Path) -> Path:
    """Returns the folder of a run's last checkpoint, or of the one before if the last is damaged.

    A warning says which. Only checksums are compared, which earlier versions did not write.

    Raises:
        DataError: There is none, or both are damaged.
    """
    try:
        return _undamaged(run_folder / "last")
    except DataError as error:
        try:
            folder = _undamaged(run_folder / "previous")
        except DataError:
            raise error from None
        warn_once(f"{error}; the checkpoint before it is used instead: {folder.name}")
        return folder


def _undamaged(pointer: Path) -> Path:
    folder = checkpoint_folder(pointer)
    if not (folder / _CHECKSUMS).exists():
        return folder
    expected = read_json(folder / _CHECKSUMS)
    for name, found in _checksums(folder).items():
        if expected.get(name) != found:
            raise DataError(folder / name, f"checksum {found}", f"{expected.get(name)} (damaged)")
    return folder


def _checksums(folder: Path) -> dict[str, str]:
    """Returns the checksum of each file of a checkpoint."""
    found: dict[str, str] = {}
    for name in _FILES:
        check_file(folder / name, "a file of a checkpoint")
        checksum = 0
        with open(folder / name, "rb") as file:
            while part := file.read(2**20):
                checksum = zlib.crc32(part, checksum)
        found[name] = f"{checksum:08x}"
    return found


def load_tensors(path: Path) -> StateDict:
    """Reads the tensors of a safetensors file; raises DataError if it is missing or broken."""
    check_file(path, "a safetensors file")
    return read_state_dict(path, "a whole safetensors file")


def without_weights(recipe: Recipe) -> Recipe:
    """Returns the recipe with an untrained backbone, whose weights come from a checkpoint."""
    return replace(recipe, model=replace(recipe.model, backbone_weights="none"))


def _check_sizes(path: Path, weights: StateDict, recipe: Recipe, words: Vocabularies) -> None:
    """Compares the settings with the weights before anything is built by them."""
    model, D = recipe.model, recipe.model.width
    layer = "{}.layers.layers.{}.linear1.weight"
    expected = {
        "decoder.embedding.weight": [len(words.text), D],
        layer.format("decoder", 0): [model.decoder_feed_forward, D],
        layer.format("decoder", model.decoder_layers - 1): [model.decoder_feed_forward, D],
    }
    if recipe.input.has_images:
        expected |= _image_encoder_sizes(model)
    else:
        last = layer.format("encoder", model.encoder_layers - 1)
        expected["encoder.embedding.weight"] = [len(words.gloss), D]
        expected[last] = [model.decoder_feed_forward, D]
    for name, shape in expected.items():
        if name not in weights:
            raise DataError(path, f"no tensor {name!r}", _ITS_TENSORS)
        if (found := [*weights[name].shape]) != shape:
            raise DataError(path, f"{name} of {found}", f"{shape}")


def _image_encoder_sizes(model: ModelConfig) -> dict[str, list[int]]:
    D, C = model.width, STAGE_CHANNELS[model.backbone_stages - 1]
    K, (h, w) = model.key_channels or C // 8, model.memory_map_size
    expected = {"encoder.frame_projection.0.weight": [D, C * h * w]}
    if model.attention:
        expected["encoder.layer.attention.qkv.weight"] = [2 * K + C, C]
    if model.temporal_convolution:
        expected["encoder.temporal.0.convolution.weight"] = [D, D, model.temporal_convolution]
    return expected


def _description(trained: TrainedModel) -> dict[str, Any]:
    subwords = trained.vocabularies.units.subwords
    return {
        "slt_fast": __version__,
        "recipe": asdict(trained.recipe),
        "trained_on": asdict(trained.trained_on),
        "flow": trained.recipe.input.parameters(),
        "text": trained.vocabularies.text.to_json(),
        "subwords": None if subwords is None else subwords.to_text(),
        "glosses": trained.vocabularies.gloss.to_json(),
    }


def _read_units(config: TextConfig, subwords: Any) -> TextUnits:
    """Returns the units of texts; raises ValueError unless there are subwords if they need some."""
    has, needs = subwords is not None, config.text_units == "subword"
    if has != needs:
        found = f"found {'some' if has else 'none'} with text_units {config.text_units!r}"
        raise ValueError(f"subwords: {found}; expected {'some' if needs else 'none'}")
    return TextUnits(config.text_units, Subwords.from_text(subwords) if has else None)


def _check_specials(words: Vocabularies) -> None:
    for vocabulary, specials in ((words.text, TEXT_SPECIALS), (words.gloss, GLOSS_SPECIALS)):
        if vocabulary.specials != specials:
            raise UserError(f"specials: found {vocabulary.specials}; expected {specials}")


def _with_runnable_backend(values: dict[str, Any]) -> dict[str, Any]:
    """Replaces a flow backend that cannot run here by "auto"; _check_flow compares their flow."""
    # The CPU computes a GPU's flow, and cv2 that of version 0.1's own code for OpenCV's presets.
    backend, preset = values["input"]["flow_backend"], values["input"]["flow_preset"]
    is_missing = (backend == "cuda" and cuda_refusal()) or (backend == "cpu" and not EXTENSION)
    if is_missing or (backend == "cpu" and preset in OPENCV_PRESETS):
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
    algorithms = recorded.get("algorithm"), computed.get("algorithm")
    if algorithms == ("disvr", "opencv_dis") and not EXTENSION:
        found = "a model trained on the flow of slt_fast's extension"
        raise DataError(path, found, f"that extension here, but {REFUSAL}")
    if recorded != expected:
        raise DataError(path, f"a model trained on flow {recorded}", f"{computed}, as made here")
    if expected != computed:
        versions = f"{recorded['version']}, now {computed['version']}"
        logger.warning("%s: trained on flow of version %s", path, versions)


def _contiguous(tensors: StateDict) -> StateDict:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _pointed_at(pointer: Path) -> Path:
    """Follows a pointer to a checkpoint of its own run; other paths stay as they are."""
    if not pointer.is_file():
        return pointer
    expected = f"one line, {_CHECKPOINTS}/NAME"
    try:
        text = pointer.read_bytes()[:_LONGEST_POINTER].decode().strip()
    except UnicodeDecodeError as error:
        raise DataError(pointer, "no text", expected) from error
    folder, _, name = text.partition("/")
    if folder != _CHECKPOINTS or not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
        raise DataError(pointer, repr(text), expected)
    return pointer.parent / folder / name


def _point(pointer: Path, folder: Path) -> None:
    """Points at a checkpoint; the pointer is never missing in between."""
    if pointer.is_dir() and not pointer.is_symlink():  # a copy of a link that was followed
        pointer.rename(folder.with_name(f"copied-{pointer.name}"))
    with replacing(pointer) as temporary:
        temporary.write_text(f"{folder.parent.name}/{folder.name}\n", encoding="utf-8")


def _delete_others(run_folder: Path) -> None:
    """Deletes the checkpoints that nothing points at."""
    kept = {_pointed_at(run_folder / name).resolve() for name in ("best", "last", "previous")}
    for folder in (run_folder / _CHECKPOINTS).iterdir():
        if folder.resolve() not in kept:
            shutil.rmtree(folder, ignore_errors=True)
