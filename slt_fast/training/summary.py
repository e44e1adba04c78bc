"""What a finished run shows: its scores, and what to try next."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from slt_fast.data.sources import synthetic_seed
from slt_fast.metrics import Score
from slt_fast.recipe import RECIPES, Recipe
from slt_fast.training.evaluation import Evaluation
from slt_fast.training.run import RunConfig

_SCORES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "chrf", "exact_match", "wer")
_NO_DOT = "no_dot."


def score_table(scores: Mapping[str, Score], title: str) -> Table:
    """Returns a table of the main scores, their 95 % intervals, and those without a final dot."""
    has_no_dot = any(name.startswith(_NO_DOT) for name in scores)
    table = Table(title=title)
    table.add_column("score", overflow="fold")
    for heading in ("value", *(["no dot"] if has_no_dot else [])):
        table.add_column(heading, justify="right", no_wrap=True)  # a narrow terminal cuts no number
    table.add_column("95 % interval", justify="right", overflow="fold")
    for name in _SCORES:
        if name in scores:
            interval = " to ".join(f"{bound:.2f}" for bound in scores[name].interval or ())
            named = (name, _NO_DOT + name) if has_no_dot else (name,)
            values = (f"{scores[each].value:.2f}" if each in scores else "" for each in named)
            table.add_row(name, *values, interval)
    return table


def next_commands(recipe_name: str, recipe: Recipe, run: RunConfig, test: Evaluation) -> list[str]:
    """Returns commands to try next with a run whose settings began as the named recipe.

    They are the scripts in the folder of a checkout, and the installed commands elsewhere.
    """
    activate = [". .venv/bin/activate"] if _in_checkout() else []
    curves = shlex.join(["tensorboard", "--logdir", str(run.output)])
    checkpoint = ["--checkpoint", run.output / "best"]
    if not recipe.input.has_images:
        glosses = " ".join(test.clips[0].glosses or ())
        return [*activate, _command("translate", "--glosses", glosses, *checkpoint), curves]
    probing = [*checkpoint, "--probe", "blank"]
    return [
        *activate,
        *_translating(run, test.clips[0].id),
        _command("evaluate", *probing, *(["--skip-bad"] if run.skip_bad else [])),
        curves,
        _command("train", *_with_other_input(recipe_name, recipe, run)),
    ]


def _with_other_input(recipe_name: str, recipe: Recipe, run: RunConfig) -> list[str]:
    """Returns the options of the same training on RGB frames instead of flow, or on flow."""
    other: Literal["flow", "rgb"] = "rgb" if recipe.input.input == "flow" else "flow"
    output, default = f"{run.output}-{other}", RECIPES[recipe_name]
    recipe = replace(recipe, input=replace(recipe.input, input=other))
    # RGB takes no cached flow; the new run starts over, and writes nothing over this one's files.
    run = replace(
        run, output=RunConfig.output, resume=False, flow_cache=None, save_translations=None
    )
    parts = [(getattr(recipe, part.name), getattr(default, part.name)) for part in fields(recipe)]
    changed = [option for pair in (*parts, (run, RunConfig())) for option in _options(*pair)]
    return ["--recipe", recipe_name, *changed, "--output", output]


def _options(settings: Any, default: Any) -> Iterator[str]:
    """Yields the options of the command line that turn the default into these settings."""
    for name in (part.name for part in fields(settings)):
        value, option = getattr(settings, name), name.replace("_", "-")
        if value == getattr(default, name):
            continue
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        elif isinstance(value, tuple):
            yield from (f"--{option}", *map(str, value))
        else:
            yield f"--{option}={value}"  # a value may begin with a hyphen


def _translating(run: RunConfig, clip: str) -> list[str]:
    """Renders a clip first if the model knows only the synthetic signer; a checkout can."""
    checkpoint = ["--checkpoint", run.output / "best"]
    seed = synthetic_seed(run.data)
    if seed is None:
        return [_command("translate", "VIDEO", *checkpoint)]
    if not _in_checkout():
        return []
    which = ["--clip", clip, *(["--seed", seed] if seed else [])]
    which += ["--agreement"] if run.data.startswith("synthetic-agreement") else []
    return [
        _command("render_synthetic", *which, "--output", run.output),
        _command("translate", run.output / clip, *checkpoint),
    ]


def _in_checkout() -> bool:
    """Returns whether the working directory is the checkout that this package is part of."""
    root = Path(__file__).parents[2]
    return Path.cwd() == root.resolve() and (root / "scripts").is_dir()


def _command(name: str, *words: object) -> str:
    start = ["python", f"scripts/{name}.py"] if _in_checkout() else [f"slt-{name}"]
    return shlex.join([*start, *map(str, words)])
