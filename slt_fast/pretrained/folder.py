"""Writes a model's folder for others, and finds one here or on the Hugging Face Hub."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from slt_fast.checkpoint import MODEL_FILES, TrainedModel, write_model
from slt_fast.errors import DataError, UserError
from slt_fast.files import replacing_folder
from slt_fast.pretrained.card import model_card

Dtype = Literal["float16", "float32"]

SHIPPED = Path(__file__).with_name("quickstart")  # the model that comes with slt_fast
_CARD = "README.md"  # where the Hub looks for it


def save_pretrained(
    folder: Path,
    trained: TrainedModel,
    *,
    dtype: Dtype = "float32",
    scores: Mapping[str, Any] | None = None,
    note: str = "",
    license: str = "",
) -> None:
    """Writes a model and its card into a new folder; see Translator.save_pretrained.

    Raises:
        DataError: The folder holds something, or is a file.
        UserError: A weight is not finite in that dtype, or scores has none of the test split.
        OSError: The folder cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        found = "a folder with files in it" if folder.is_dir() else "a file"
        raise DataError(folder, found, "a new or empty folder")
    network = copy.deepcopy(trained.network).to(getattr(torch, dtype))
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{name}: found a weight that {dtype} cannot hold; expected finite ones"
            )
    model = trained.recipe.model  # whose backbone_weights may be a file of this machine
    model = replace(model, backbone_weights=Path(model.backbone_weights).name)
    shared = replace(
        trained,
        network=network,
        recipe=replace(trained.recipe, model=model),
        trained_on=trained.trained_on.without_folders(),
    )
    name = folder.resolve().name
    card = model_card(shared, name, dtype=dtype, scores=scores, note=note, license=license)
    try:
        with replacing_folder(folder) as temporary:
            write_model(temporary, shared)
            (temporary / _CARD).write_text(card, encoding="utf-8")
    except SafetensorError as error:  # a full disk, say
        raise OSError(f"{folder}: could not write the model: {error}") from error


def fetch_pretrained(name_or_folder: str | Path) -> Path:
    """Returns the folder of a model, downloaded by its name on the Hub if there is none here.

    Raises:
        UserError: huggingface_hub is missing, or cannot download a model of this name.
    """
    if Path(name_or_folder).exists():
        return Path(name_or_folder)
    expected = f"from_pretrained: found no folder {name_or_folder}"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        advice = "expected one, or the extra hub to download it (pip install '.[hub]')"
        raise UserError(f"{expected} and no module huggingface_hub; {advice}") from error
    try:
        return Path(snapshot_download(str(name_or_folder), allow_patterns=[*MODEL_FILES]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = f"{expected}, and could not download it ({error})"
        raise UserError(
            f"{reason}; expected a folder, or the USER/MODEL of a model on the Hugging Face Hub"
        ) from error
