"""The runs of an experiment: their commands, and what has become of them."""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

from reproduction.experiments import Experiment
from slt_fast.device import choose_device, hardware_name
from slt_fast.errors import DataError, UserError
from slt_fast.files import read_json, write_json
from slt_fast.recipe import RECIPES

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
DEFAULT_RECIPE = "quickstart"
_OWN_OPTIONS = ("output", "resume", "save-translations", "data", "recipe", "seed")


@dataclass(frozen=True)
class Run:
    """A variant with a seed.

    Args:
        variant: Name of the variant.
        seed: Seed of the training.
        folder: Folder of the run.
        recipe: Name of its recipe.
        options: Options of scripts/train.py that decide what is computed.
    """

    variant: str
    seed: int
    folder: Path
    recipe: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.variant}, seed {self.seed}"

    @property
    def translations(self) -> Path:
        """File of the test split's translations."""
        return self.folder / "translations.jsonl"

    @property
    def log(self) -> Path:
        """File that the training's output is appended to."""
        return self.folder / "train.log"

    def arguments(self) -> list[str]:
        """Returns all arguments of scripts/train.py that start it."""
        place = ["--output", str(self.folder), "--save-translations", str(self.translations)]
        return [*self.options, *place]

    def has_begun(self) -> bool:
        """Returns whether there is a checkpoint to go on from."""
        return os.path.lexists(self.folder / "last")

    def command(self, threads: int) -> str:
        """Returns the line for a shell that starts it from the working directory."""
        words = shlex.join(["python", os.path.relpath(TRAIN), *self.arguments()])
        return f"OMP_NUM_THREADS={threads} {words}"

    def is_finished(self) -> bool:
        """Returns whether there is nothing left to do."""
        # The translations are written last.
        return (self.folder / "metrics.json").is_file() and self.translations.is_file()

    def record(self, threads: int) -> None:
        """Writes down the command in the folder, which is made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {"command": self.command(threads), "threads": threads}
        values |= {"device": hardware_name(choose_device())}
        values |= {"options": [*self.options], "recipe": self._settings()}
        write_json(self._command_file, values)

    def check(self) -> None:
        """Raises DataError if the folder holds another run."""
        if not self.folder.exists():
            return
        if not self._command_file.is_file():
            if any(self.folder.iterdir()):
                raise DataError(self.folder, "no command.json, but other files", "an empty folder")
            return
        command = read_json(self._command_file)
        options = command.get("options")
        if not isinstance(options, list) or not all(isinstance(word, str) for word in options):
            raise DataError(self._command_file, f"options {options!r}", "a list of words")
        found, wanted = by_name(options), by_name(self.options)
        for name in [*found, *wanted]:
            if found.get(name) != wanted.get(name):
                ours = f"{_spelled(name, wanted)}, as asked for now, or another --output"
                raise DataError(self.folder, f"a run with {_spelled(name, found)}", ours)
        if command.get("recipe") != self._settings():
            found = f"a run of another version of recipe {self.recipe!r}"
            raise DataError(self.folder, found, "this version's, or another --output")

    def _settings(self) -> dict[str, Any]:
        """Returns the settings of the recipe as they are read back."""
        settings: dict[str, Any] = json.loads(json.dumps(asdict(RECIPES[self.recipe])))
        return settings

    @property
    def _command_file(self) -> Path:
        return self.folder / "command.json"


def plan_runs(
    experiment: Experiment,
    *,
    data: str | None,
    recipe: str | None,
    seeds: int,
    train_options: Sequence[str],
    output: Path,
) -> list[Run]:
    """Returns the runs of an experiment: all variants with the first seed, then with the next.

    Args:
        experiment: The experiment.
        data: Name of the data; None if there is none.
        recipe: Recipe that the variants share; None for DEFAULT_RECIPE.
        seeds: Runs of each variant.
        train_options: Options of scripts/train.py for all runs.
        output: Folder for the runs.

    Raises:
        UserError: Something is not free to choose, or must be chosen.
        DataError: A folder holds another run.
    """
    check_free(experiment, train_options)
    if data is None:
        raise UserError("data: found none; expected --data, such as phoenix14t-rendered:PATH")
    if recipe and any(variant.recipe for variant in experiment.variants.values()):
        raise UserError(f"recipe: found {recipe!r}; expected none, as each variant has its own")
    runs = []
    for seed, (name, variant) in product(range(seeds), experiment.variants.items()):
        chosen = variant.recipe or recipe or DEFAULT_RECIPE
        options = ("--recipe", chosen, "--data", data, "--seed", str(seed))
        options = (*options, *variant.options, *train_options)
        runs.append(Run(name, seed, output / name / f"seed-{seed}", chosen, options))
    for run in runs:
        run.check()
    return runs


def check_free(experiment: Experiment, train_options: Sequence[str]) -> None:
    """Raises UserError if an option for training is one that the experiment itself chooses."""
    own = chain(_OWN_OPTIONS, *(by_name(each.options) for each in experiment.variants.values()))
    taken = set(own)
    if train_options and not train_options[0].startswith("--"):
        found = repr(train_options[0])
        raise UserError(f"train options: found {found}; expected options of scripts/train.py")
    for name in by_name(train_options):
        if name in taken:
            expected = "none that the experiment chooses: " + ", ".join(sorted(taken))
            raise UserError(f"train options: found --{name}; expected {expected}")


def by_name(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the values of options by name; "--no-name" is the value "no" of "name"."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for word in words:
        if not word.startswith("--"):
            found[name] = (*found.get(name, ()), word)
            continue
        option, _, value = word.removeprefix("--").partition("=")
        option = option.replace("_", "-")
        name = option.removeprefix("no-")
        found[name] = ("no",) if option != name else (value,) if value else ()
    return found


def _spelled(name: str, options: dict[str, tuple[str, ...]]) -> str:
    if name not in options:
        return f"no --{name}"
    return f"--no-{name}" if options[name] == ("no",) else " ".join([f"--{name}", *options[name]])
