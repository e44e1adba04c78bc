"""Trains a translator by a recipe, scores it, shows examples.

python scripts/train.py --recipe quickstart
python scripts/train.py --recipe paper --data phoenix14t:PATH --output runs/phoenix
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from slt_fast.command_line import run
from slt_fast.training.config import RECIPES, Recipe, differences
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig, resumed, resumes


@dataclass(frozen=True)
class Arguments:
    """Every option overrides what the recipe says."""

    run: RunConfig = field(default_factory=RunConfig)
    settings: Recipe = field(default_factory=Recipe)
    recipe: Literal["quickstart", "paper", "fast"] = "quickstart"
    """Defaults: quickstart (small images, two CPU cores), paper (as published), fast (GPU)."""


def parse_arguments() -> Arguments:
    """The command line over the defaults of the recipe, or of the run that is resumed."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe", default="quickstart", choices=RECIPES)
    first.add_argument("--output", type=Path)
    first.add_argument("--resume", action="store_true")
    given = first.parse_known_args()[0]
    output = given.output or Path("runs") / given.recipe
    name, settings = given.recipe, RECIPES[given.recipe]
    run_config = RunConfig(output=output, resume=given.resume)
    if resumes(run_config):
        settings, run_config = resumed(run_config)
        name = min(RECIPES, key=lambda name: len(differences(RECIPES[name], settings)))
    default = Arguments(run_config, settings, name)
    kind = Annotated[Arguments, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes]
    return tyro.cli(kind, default=default, description=__doc__)


def show(metrics: dict, test: Evaluation, arguments: Arguments) -> None:
    """A table of scores, a few examples, and what to try next."""
    console, split = Console(), arguments.run.test_split
    table = Table(title=f"{split}: {len(test.clips)} clips")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact_match", "wer"):
        if f"{split}.{name}" in metrics:
            table.add_row(name, f"{metrics[f'{split}.{name}']:.2f}")
    console.print(table)
    console.print(f"BLEU signature: {metrics[f'{split}.signature']}", highlight=False)
    for clip, translation in list(zip(test.clips, test.translations, strict=True))[:5]:
        console.print(f"\n[bold]{clip.id}[/bold]")
        console.print("  said:     ", clip.text, highlight=False, markup=False)
        console.print("  translated:", translation.text, highlight=False, markup=False)
    console.print(f"\nScores: {arguments.run.output / 'metrics.json'}", highlight=False)
    print(f"To try next:\n  . .venv/bin/activate\n{next_commands(arguments)}")


def next_commands(arguments: Arguments) -> str:
    """What to try next with this run, one command a line."""
    run_config, output = arguments.run, arguments.run.output
    other = "rgb" if arguments.settings.input.input == "flow" else "flow"
    best, folder = shlex.quote(f"{output / 'best'}"), shlex.quote(f"{output}")
    splits = {split: getattr(run_config, f"{split}_split") for split in ("train", "dev", "test")}
    again = ["--recipe", arguments.recipe, "--data", run_config.data]
    again += [f"--{split}-split={name}" for split, name in splits.items() if name != split]
    again += ["--input", other, "--output", f"{output}-{other}"]
    return (
        f"  python scripts/translate.py VIDEO --checkpoint {best}\n"
        f"  python scripts/evaluate.py --checkpoint {best} --probe blank\n"
        f"  tensorboard --logdir {folder}\n"
        f"  python scripts/train.py {shlex.join(again)}"
    )


def main() -> None:
    arguments = parse_arguments()
    metrics, test = train(arguments.settings, arguments.run)
    show(metrics, test, arguments)


if __name__ == "__main__":
    run(main)
