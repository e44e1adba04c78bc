"""Trains a translator by a recipe, scores it, shows examples.

python scripts/train.py --recipe quickstart
python scripts/train.py --recipe paper --data phoenix14t:PATH --output runs/phoenix
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from slt_fast.command_line import run
from slt_fast.training.config import RECIPES, Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.loop import train
from slt_fast.training.run import RunConfig


@dataclass(frozen=True)
class Arguments:
    """Every option overrides what the recipe says."""

    run: RunConfig = field(default_factory=RunConfig)
    settings: Recipe = field(default_factory=Recipe)
    recipe: Literal["quickstart", "paper", "fast"] = "quickstart"
    """Defaults: quickstart (small images, two CPU cores), paper (as published), fast (GPU)."""


def parse_arguments() -> Arguments:
    """The command line, with the named recipe's values as defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe", default="quickstart", choices=RECIPES)
    name = first.parse_known_args()[0].recipe
    default = Arguments(RunConfig(output=Path("runs") / name), RECIPES[name], name)
    kind = Annotated[Arguments, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes]
    return tyro.cli(kind, default=default, description=__doc__)


def show(metrics: dict, test: Evaluation, run_config: RunConfig) -> None:
    """A table of scores, a few examples, and what to try next."""
    console, split = Console(), run_config.test_split
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
    best = run_config.output / "best"
    console.print(
        f"\nScores: {run_config.output / 'metrics.json'}. To try next:\n"
        f"  python scripts/translate.py VIDEO --checkpoint {best}\n"
        f"  python scripts/evaluate.py --checkpoint {best} --split {split} --probe blank\n"
        f"  tensorboard --logdir {run_config.output}\n"
        "  python scripts/train.py --recipe quickstart --input rgb --output runs/rgb",
        highlight=False,
        markup=False,
        soft_wrap=True,  # commands stay whole
    )


def main() -> None:
    arguments = parse_arguments()
    metrics, test = train(arguments.settings, arguments.run)
    show(metrics, test, arguments.run)


if __name__ == "__main__":
    run(main)
