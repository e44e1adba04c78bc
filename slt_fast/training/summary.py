"""What a finished run shows: its scores, and what to try next."""

import shlex
from collections.abc import Mapping

from rich.table import Table

from slt_fast.data.sources import synthetic_seed
from slt_fast.metrics import Score
from slt_fast.recipe import Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.run import RunConfig

_SCORES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact_match", "wer")


def score_table(scores: Mapping[str, Score], title: str) -> Table:
    """Returns a table of the main scores with their 95 % intervals."""
    table = Table(title=title)
    table.add_column("score")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name in _SCORES:
        if name in scores:
            score = scores[name]
            interval = " to ".join(f"{bound:.2f}" for bound in score.interval or ())
            table.add_row(name, f"{score.value:.2f}", interval)
    return table


def next_commands(recipe_name: str, recipe: Recipe, run: RunConfig, test: Evaluation) -> list[str]:
    """Returns commands to try next with a run whose settings began as the named recipe."""
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
    """Renders a clip first if the model knows only the synthetic signer."""
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
