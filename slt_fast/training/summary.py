"""What a finished run has to show: its scores, and what to try next."""

from __future__ import annotations

import shlex
from typing import Any

from rich.table import Table

from slt_fast.data.sources import synthetic_seed
from slt_fast.recipe import Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.run import RunConfig

_SCORES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact_match", "wer")


def score_table(metrics: dict[str, Any], split: str, title: str) -> Table:
    """The scores of a split, those that have a 95 % interval with it.

    Args:
        metrics: What metrics.json holds.
        split: Name of the split.
        title: Line above the table.
    """
    table = Table(title=title)
    table.add_column("score")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name in (f"{split}.{name}" for name in _SCORES):
        if name in metrics:
            bounds = [metrics[key] for key in (f"{name}_low", f"{name}_high") if key in metrics]
            interval = " to ".join(f"{bound:.2f}" for bound in bounds)
            table.add_row(name.removeprefix(f"{split}."), f"{metrics[name]:.2f}", interval)
    return table


def next_commands(recipe_name: str, recipe: Recipe, run: RunConfig, test: Evaluation) -> list[str]:
    """What to try next with a run.

    Args:
        recipe_name: Recipe that the settings were made from.
        recipe: Settings of the run.
        run: Its data and folder.
        test: Its scored test split.
    """
    best, other = run.output / "best", "rgb" if recipe.input.input == "flow" else "flow"
    splits = {split: getattr(run, f"{split}_split") for split in ("train", "dev", "test")}
    changed = [f"--{split}-split={name}" for split, name in splits.items() if name != split]
    again = ["--recipe", recipe_name, "--data", run.data, *changed]
    again += ["--input", other, "--output", f"{run.output}-{other}"]
    return [
        *_translating(run, test.clips[0].id),
        _command("scripts/evaluate.py", "--checkpoint", best, "--probe", "blank"),
        shlex.join(["tensorboard", "--logdir", str(run.output)]),
        _command("scripts/train.py", *again),
    ]


def _translating(run: RunConfig, clip: str) -> list[str]:
    """A model of the synthetic corpus knows the rendered signer only: it is given a clip of it."""
    checkpoint = ["--checkpoint", run.output / "best"]
    seed = synthetic_seed(run.data)
    if seed is None:
        return [_command("scripts/translate.py", "VIDEO", *checkpoint)]
    which = ["--clip", clip, *(["--seed", seed] if seed else [])]
    return [
        _command("scripts/render_synthetic.py", *which, "--output", run.output),
        _command("scripts/translate.py", run.output / clip, *checkpoint),
    ]


def _command(*words: object) -> str:
    return shlex.join(["python", *map(str, words)])
