"""Looks for the known ways in which a trained model fails, and says what to do.

python scripts/diagnose.py --checkpoint runs/quickstart
python scripts/diagnose.py --checkpoint DIR --data manifest:mydata.csv --output report.json
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slt_fast.checkpoint import TrainedModel, checkpoint_files, load_model
from slt_fast.command_line import parse, run
from slt_fast.data.loading import ClipDataset
from slt_fast.data.skipped import SkippedClips
from slt_fast.data.sources import data_files, read_split
from slt_fast.device import choose_device
from slt_fast.errors import ErrorHandler, printable
from slt_fast.files import check_outputs, write_json
from slt_fast.inference.translate import trained_rate
from slt_fast.settings import Bounds, check_settings
from slt_fast.training.datasets import part_of, prepare_clips, read_clips
from slt_fast.training.diagnosis import Finding, diagnose, to_json


@dataclass(frozen=True)
class Arguments:
    """Looks for the known ways in which a trained model fails."""

    checkpoint: Path
    """Folder of a checkpoint, or of a run (its best checkpoint)."""
    data: str | None = None
    """synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE; by default the
    training data."""
    clips: Annotated[int, Bounds(ge=1)] = 32
    """Clips to translate of the training split and of the dev split, spread over each."""
    output: Path | None = None
    """File to write the findings to, as JSON."""
    skip_bad: bool = False
    """Leave out and list clips that cannot be read."""
    device: str = "auto"
    """auto takes the GPU if there is one."""

    def __post_init__(self) -> None:
        check_settings(self)


def read_some(
    trained: TrainedModel,
    data: str,
    split: str,
    most: int,
    *,
    on_error: ErrorHandler | None = None,
) -> ClipDataset:
    """Reads clips that are spread over a split, or over what the model learned of it."""
    of, has_images = trained.trained_on, trained.recipe.input.has_images
    clips = read_split(data, split, on_error=on_error, needs_frames=has_images)
    if split == of.train_split:
        clips = part_of(clips, min(of.train_clips or len(clips), len(clips)))
    numbers = np.linspace(0, len(clips) - 1, min(most, len(clips))).round().astype(int)
    settings = replace(trained.recipe.training, preload=False)
    recipe = replace(trained.recipe, training=settings)
    chosen = [clips[number] for number in numbers]
    chosen = prepare_clips(recipe, data, chosen, fps=trained_rate(trained))
    return read_clips(recipe, data, chosen, on_error=on_error, checks_clips=False)


def table_of(findings: Sequence[Finding]) -> Table:
    """Makes a table: what was found, and for each sign of failure what it means."""
    table = Table("", "looked for", "found", "which means", show_lines=True)
    for finding in findings:
        verdict = "[bold red]BAD[/]" if finding.is_bad else "good"
        means = f"{finding.means} {finding.advice}" if finding.is_bad else ""
        table.add_row(verdict, finding.name, escape(printable(finding.found)), means)
    return table


def main() -> None:
    """Looks for what the command line says."""
    arguments = parse(Arguments, __doc__)
    device = choose_device(arguments.device)
    trained = load_model(arguments.checkpoint)
    settings = replace(trained.recipe.training, device=arguments.device)
    trained = replace(trained, recipe=replace(trained.recipe, training=settings))
    trained.network.to(device)
    of = trained.trained_on
    data = arguments.data or of.located().data
    files = {"--data": data_files(data), "--checkpoint": checkpoint_files(arguments.checkpoint)}
    check_outputs({"--output": arguments.output}, files)
    splits = (of.train_split, of.dev_split)
    on_error = SkippedClips() if arguments.skip_bad else None
    train_set, dev_set = (
        read_some(trained, data, name, arguments.clips, on_error=on_error) for name in splits
    )
    findings = diagnose(trained, train_set, dev_set, on_error=on_error)
    Console().print(table_of(findings))
    if arguments.output:
        write_json(arguments.output, to_json(findings))


if __name__ == "__main__":
    run(main)
