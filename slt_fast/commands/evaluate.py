"""Scores a checkpoint on a split.

slt-evaluate --checkpoint runs/quickstart/best --split test
"""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from slt_fast import command_line
from slt_fast.checkpoint import TrainedModel, checkpoint_files, load_model
from slt_fast.data.frame_source import FrameRate
from slt_fast.data.loading import ClipDataset
from slt_fast.data.probes import probe_all
from slt_fast.data.skipped import SkippedClips
from slt_fast.data.sources import data_files, read_split
from slt_fast.device import choose_device
from slt_fast.errors import ErrorHandler, UserError, printable
from slt_fast.files import check_outputs, write_json
from slt_fast.inference.translate import trained_rate
from slt_fast.settings import check_settings
from slt_fast.training.datasets import prepare_clips, read_clips
from slt_fast.training.evaluation import evaluate
from slt_fast.training.translations import check_translations_file, save_translations
from slt_fast.training.tuning import tune_search, tuning_table


@dataclass(frozen=True)
class Arguments:
    """Scores a checkpoint on a split."""

    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    data: str | None = None
    """synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE; by default the
    training data."""
    split: str | None = None
    """Name of the split; by default the run's test split, or its dev split to tune."""
    probe: Literal["blank", "neutral"] | None = None
    """Score changed clips: blank (black frames), neutral (synthetic: no headshake, no nod)."""
    fps: FrameRate | None = None
    """Frames per second that clips are resampled to; native keeps theirs. By default as trained."""
    beam_size: int | None = None
    """Beams of the search; by default the recipe's."""
    length_penalty: float | None = None
    """Length penalty of the search; by default the recipe's."""
    gloss_beam_size: int | None = None
    """Beams of the search for glosses, 1 for the best path; by default the recipe's."""
    tune: bool = False
    """Find the best of 1 to 10 beams and length penalties -1 to 5 instead, on the dev split. Prints
    a table and, as the last line, the best options; --output has all scores as JSON."""
    flow_cache: Path | None = None
    """Folder made by slt-extract-flow; flow is read from it instead of computed."""
    output: Path | None = None
    """File to write the scores to, as JSON."""
    save_translations: Path | None = None
    """File for the translations, .csv or .jsonl: id, reference, hypothesis, glosses."""
    skip_bad: bool = False
    """Leave out and list clips that cannot be read."""
    device: str = "auto"
    """auto takes the GPU if there is one."""

    def __post_init__(self) -> None:
        check_settings(self)


def main() -> None:
    """Scores a checkpoint as the command line says."""
    arguments = command_line.parse(Arguments, __doc__)
    device = choose_device(arguments.device)
    searched = {
        name: getattr(arguments, name)
        for name in ("beam_size", "length_penalty", "gloss_beam_size")
    }
    is_searched = any(value is not None for value in searched.values())
    if arguments.tune and (is_searched or arguments.save_translations):
        found = "found --beam-size, --length-penalty, --gloss-beam-size or --save-translations"
        raise UserError(f"tune: {found} as well; expected none of them, as it tries its own")
    if arguments.save_translations:
        check_translations_file(arguments.save_translations)
    trained = load_model(arguments.checkpoint)
    trained.network.to(device)
    data_sets = trained.trained_on
    split = arguments.split or (data_sets.dev_split if arguments.tune else data_sets.test_split)
    on_error = SkippedClips() if arguments.skip_bad else None
    recipe = trained.recipe
    search = recipe.search.with_options(**searched)
    if arguments.gloss_beam_size and not trained.recognises_glosses:
        kind = "trained without glosses" if recipe.input.has_images else "that takes glosses"
        found = f"found {arguments.gloss_beam_size} and a model {kind}"
        raise UserError(f"gloss_beam_size: {found}; expected one trained with glosses to recognise")
    # Each clip is read once: to keep it, or to check it before, gains nothing.
    settings = replace(recipe.training, device=arguments.device, preload=False)
    data = arguments.data or trained.trained_on.located().data
    if not arguments.data:
        logging.info("evaluated on the training data's %s", data)
    _check_outputs(arguments, data)
    recipe, fps = replace(recipe, training=settings), trained_rate(trained, arguments.fps)
    has_images = recipe.input.has_images
    if arguments.probe and not has_images:
        expected = "expected none, as the model takes glosses and sees no frames"
        raise UserError(f"probe: found {arguments.probe!r}; {expected}")
    clips = read_split(data, split, on_error=on_error, needs_frames=has_images)
    if split == data_sets.train_split and (learned := data_sets.train_clips):
        text = "the model learned from %d clips of split %r of %s; all %d of %s are scored"
        logging.warning(text, learned, split, data_sets.data, len(clips), data)
    if arguments.probe:
        clips = probe_all(clips, arguments.probe)
    clips = prepare_clips(recipe, data, clips, fps=fps, flow_cache=arguments.flow_cache)
    dataset = read_clips(recipe, data, clips, on_error=on_error, checks_clips=False)
    if arguments.tune:
        scores = _tuned(trained, dataset, split, on_error)
    else:
        evaluation = evaluate(trained, dataset, search=search, on_error=on_error)
        if arguments.save_translations:
            save_translations(arguments.save_translations, evaluation)
        scores = evaluation.flat(split)
        print(json.dumps(scores, indent=1))
    if arguments.output:
        write_json(arguments.output, scores)


def _check_outputs(arguments: Arguments, data: str) -> None:
    """Raises an error if a file cannot be written, or would be written over what is read."""
    check_outputs(
        {"--output": arguments.output, "--save-translations": arguments.save_translations},
        {
            "--data": data_files(data),
            "--checkpoint": checkpoint_files(arguments.checkpoint),
            "--flow-cache": arguments.flow_cache,
        },
    )


def _tuned(
    trained: TrainedModel, dataset: ClipDataset, split: str, on_error: ErrorHandler | None
) -> dict[str, Any]:
    """Prints a table of scores, the best options last; returns the best and all that were tried."""
    name, tried = tune_search(trained, dataset, on_error=on_error)
    best = tried[0]
    of = "by length penalty (rows) and beams (columns)"
    title = f"{split}.{name} {of}; the best, {best.score:.2f}, has a star"
    print(printable(title), tuning_table(tried), best.options(), sep="\n")
    found = {"beam_size": best.beam_size, "length_penalty": best.length_penalty}
    return {**found, f"{split}.{name}": best.score, "tried": tried}


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
