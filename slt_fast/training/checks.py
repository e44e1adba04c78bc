"""What is checked before the first clip is read, because reading may take hours."""

import shlex

import torch

from slt_fast.checkpoint import (
    build_network,
    checkpoint_files,
    latest_checkpoint,
    read_description,
    without_weights,
)
from slt_fast.data.batching import Vocabularies
from slt_fast.data.flow_cache.cache import cached_rate, open_flow_cache
from slt_fast.data.input import blank_input
from slt_fast.data.sources import data_files, data_root, split_names
from slt_fast.device import autocast, choose_device
from slt_fast.errors import DataError, UserError, is_out_of_memory
from slt_fast.files import check_outputs, seen_from
from slt_fast.recipe import Recipe
from slt_fast.training.resuming import RUN_FILES, check_same_recipe, has_checkpoint_to_resume
from slt_fast.training.run import RunConfig
from slt_fast.training.starting import Start, start_from
from slt_fast.training.translations import check_translations_file


def check_resumable(run: RunConfig) -> None:
    """Raises DataError if a run shall be resumed in a folder that does not exist."""
    if run.resume and not run.output.is_dir():
        expected = f"the folder of a run to go on with{seen_from(run.output)}"
        raise DataError(run.output, "no such folder", expected)


def check_splits(run: RunConfig) -> None:
    """Raises DataError if the data lack a split that a run names."""
    known = split_names(run.data)
    named = {"train": run.train_split, "dev": run.dev_split, "test": run.test_split}
    # PHOENIX-2014-T's train-complex-annotation annotates train once more, and is not listed.
    missing = [
        option for option, name in named.items() if not {name, name.partition("-")[0]} & {*known}
    ]
    if missing:
        found = " and ".join(repr(named[option]) for option in missing)
        way = " ".join(f"--{option}-split {shlex.quote(known[0])}" for option in missing)
        expected = f"one of {', '.join(known)}, as with {way}"
        raise DataError(run.data, f"no split {found}", expected)


def check_flow_cache(recipe: Recipe, run: RunConfig) -> None:
    """Raises DataError or UserError if a run names a flow cache that it cannot use."""
    if run.flow_cache:
        fps = run.fps or cached_rate(run.flow_cache) or "native"
        open_flow_cache(run.flow_cache, recipe.input, data_root(run.data), fps=fps)


def check_recipe(recipe: Recipe, run: RunConfig, start: Start | None = None) -> None:
    """Tries the settings on this machine: flow, device, weights and backend, on blank input.

    Args:
        start: What load_start returned for the run.

    Raises:
        DataError: Weights are missing, broken or unfit, or the run to resume has other settings.
        UserError: A setting cannot be used here.
    """
    recipe.input.parameters()
    if not recipe.input.has_images:
        _check_no_video_settings(run)
    _check_whole_clips(recipe, run)
    _check_translations(run, start)
    resumes = has_checkpoint_to_resume(run)
    if resumes:
        folder = latest_checkpoint(run.output)
        check_same_recipe(folder, read_description(folder)[0], recipe)
    device = choose_device(recipe.training.device)
    words = Vocabularies.build([])
    try:
        fresh = without_weights(recipe) if resumes else recipe
        network = build_network(fresh, words).to(device).eval()
        images, lengths = blank_input(recipe.input, 2).to(device), torch.tensor([2])
        tokens = torch.zeros(1, 2, dtype=torch.long, device=device)
        with torch.no_grad(), autocast(device, recipe.training.precision):
            network(images, lengths, tokens)
        if start:
            start_from(network, words, start)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = f"a network larger than the memory of {device}"
        raise UserError(f"model: found {found}; expected smaller settings") from error


def _check_translations(run: RunConfig, start: Start | None) -> None:
    """Raises an error if translations cannot be written, or would be written over other files."""
    if run.save_translations is None:
        return
    check_translations_file(run.save_translations)
    files = {
        "--data": data_files(run.data),
        "--flow-cache": run.flow_cache,
        "--init-from": checkpoint_files(start.checkpoint) if start else None,
        "--output": [run.output / name for name in RUN_FILES],
    }
    check_outputs({"--save-translations": run.save_translations}, files)


def _check_no_video_settings(run: RunConfig) -> None:
    """Raises UserError if a run that reads no video has a setting of videos."""
    fps = None if run.fps == "native" else run.fps  # as a run to resume has it
    settings = {"fps": fps, "flow_cache": run.flow_cache, "memory_budget": run.memory_budget}
    for name, value in settings.items():
        if value is not None:
            expected = "expected none with input 'gloss', which reads no video"
            raise UserError(f"{name}: found {value}; {expected}")


def _check_whole_clips(recipe: Recipe, run: RunConfig) -> None:
    """Raises UserError if a backbone that sees whole clips shall compute parts of them."""
    if recipe.model.backbone != "r3d_18":
        return
    if share := recipe.training.gradient_dropout:
        expected = "expected 0 (--gradient-dropout 0), as r3d_18 computes whole clips"
        raise UserError(f"gradient_dropout: found {share} with backbone r3d_18; {expected}")
    for name, value in (
        ("frames_per_chunk", recipe.training.frames_per_chunk),
        ("memory_budget", run.memory_budget),
        ("compile", recipe.training.compile),
    ):
        if value:
            expected = "backbone resnet18, as r3d_18 computes whole clips at once"
            raise UserError(f"{name}: found {value!r} with backbone r3d_18; expected {expected}")
