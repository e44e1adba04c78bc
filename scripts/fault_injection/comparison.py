"""Compares two runs: weights and optimiser to the bit, logs and scores apart from times."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from slt_fast.checkpoint import checkpoint_folder
from slt_fast.files import read_json

_POINTERS = ("best", "last")


def differences(first: Path, second: Path) -> list[str]:
    """Returns one line for each thing in which two runs differ; nothing if they are equal.

    Args:
        first: Folder of a finished run.
        second: Folder of another one.

    Raises:
        DataError: A run has no `best` or `last`, or lacks a file.
    """
    found = []
    for pointer in _POINTERS:
        ours, theirs = (checkpoint_folder(run / pointer) for run in (first, second))
        for name in ("model.safetensors", "training.safetensors"):
            place = f"{pointer}/{name}"
            found += _of_tensors(place, load_file(ours / name), load_file(theirs / name))
        progress = [without_times(read_json(folder / "training.json")) for folder in (ours, theirs)]
        found += _of_values(f"{pointer}/training.json", *progress)
    for name in ("metrics.jsonl", "metrics.json"):
        found += _of_values(name, *(_read_records(run / name) for run in (first, second)))
    return found


def without_times(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values whose names do not speak of seconds, as `frames_a_second` does."""
    return {name: value for name, value in values.items() if "second" not in name}


def _of_tensors(
    place: str, first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]
) -> list[str]:
    found = []
    for name in sorted(first.keys() | second.keys()):
        ours, theirs = first.get(name), second.get(name)
        if ours is None or theirs is None:
            found.append(f"{place}: {name} is in one of them only")
        elif (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            found.append(f"{place}: {name} has another type or shape")
        elif different := int((_bytes(ours) != _bytes(theirs)).sum()):
            found.append(f"{place}: {name} differs in {different} of {ours.nbytes} bytes")
    return found


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _of_values(place: str, first: object, second: object) -> list[str]:
    return [] if first == second else [f"{place}: {first} and {second}"]


def _read_records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return [without_times(read_json(path))]
    lines = path.read_text(encoding="utf-8").splitlines()
    return [without_times(json.loads(line)) for line in lines]
