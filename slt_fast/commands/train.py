"""Trains a translator by a recipe, scores it, shows examples.

slt-train --recipe quickstart

slt-train --recipe paper --data phoenix14t:PATH --output runs/phoenix
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from slt_fast import command_line
from slt_fast.data.flow_cache.extraction import share_of_work
from slt_fast.errors import printable
from slt_fast.recipe import RECIPES, Recipe, differences
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.loop import train
from slt_fast.training.resuming import has_checkpoint_to_resume, settings_to_resume
from slt_fast.training.run import RunConfig
from slt_fast.training.summary import next_commands, score_table


@dataclass(frozen=True)
class Arguments:
    """Every option overrides the recipe."""

    run: RunConfig = field(default_factory=RunConfig)
    settings: Recipe = field(default_factory=Recipe)
    recipe: Literal["quickstart", "paper", "fast", "gloss-to-text"] = "quickstart"
    """Defaults: quickstart (small images, two CPU cores), paper (as published), fast (GPU),
    gloss-to-text (glosses as the input, two CPU cores)."""


def parse_arguments() -> Arguments:
    """Parses the command line over the defaults of the recipe, or of the run to resume."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe", default="quickstart", choices=RECIPES)
    first.add_argument("--output", type=Path)
    first.add_argument("--resume", action="store_true")
    given = first.parse_known_args()[0]
    output = given.output or Path("runs") / given.recipe
    name, settings = given.recipe, RECIPES[given.recipe]
    run = RunConfig(output=output, resume=given.resume)
    if has_checkpoint_to_resume(run):
        settings, run = settings_to_resume(run)
        name = min(RECIPES, key=lambda name: len(differences(RECIPES[name], settings)))
    default = Arguments(run, settings, name)
    kind = Annotated[Arguments, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes]
    return command_line.parse(kind, __doc__, default=default)


def show(test: Evaluation, arguments: Arguments) -> None:
    """Prints a table of scores, a few examples, and what to try next."""
    console, seed = Console(), arguments.settings.training.seed
    split = escape(printable(arguments.run.test_split))
    console.print(score_table(test.scores, f"{split}: {len(test.clips)} clips, seed {seed}"))
    console.print(f"BLEU signature: {test.scores['bleu4'].signature}", highlight=False)
    for clip, translation in list(zip(test.clips, test.translations, strict=True))[:5]:
        console.print(f"\n{printable(clip.id)}", style="bold", highlight=False, markup=False)
        console.print("  reference: ", printable(clip.text), highlight=False, markup=False)
        console.print("  translated:", printable(translation.text), highlight=False, markup=False)
    path = printable(str(arguments.run.output / "metrics.json"))
    console.print(f"\nScores: {path}", highlight=False, markup=False)
    commands = next_commands(arguments.recipe, arguments.settings, arguments.run, test)
    print("To try next:", *map(printable, commands), sep="\n  ")


def main() -> None:
    """Trains as the command line says."""
    arguments = parse_arguments()
    _, test = train(arguments.settings, arguments.run)
    if share_of_work()[0] == 0:
        show(test, arguments)


def entry() -> None:
    """Runs the command line."""
    command_line.run(main)
