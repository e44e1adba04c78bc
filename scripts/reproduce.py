"""Runs one of the paper's experiments, each variant with several seeds, and reports.

python scripts/reproduce.py --experiment positional-encoding

python scripts/reproduce.py --experiment heads --seeds 1 -- --epochs 1   # smaller, to try it

The same command goes on after a stop.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from reproduction.experiments import EXPERIMENTS
from reproduction.report import to_markdown
from reproduction.results import collect
from reproduction.runs import plan_runs
from reproduction.training import threads_of_run, train

from slt_fast.command_line import parse, run
from slt_fast.files import replacing, write_json
from slt_fast.settings import Bounds, check_settings
from slt_fast.training.lock import locked

_Count = Annotated[int, Bounds(ge=1)]


@dataclass(frozen=True)
class Arguments:
    """Runs one of the paper's experiments."""

    experiment: Literal[tuple(EXPERIMENTS)]
    """What to ask; docs/experiments.md explains each."""
    seeds: _Count = 3
    """Runs of each variant, with the seeds from 0 on."""
    data: str = "synthetic"
    """synthetic[:SEED], phoenix14t:PATH or manifest:FILE."""
    recipe: Literal["quickstart", "paper", "fast"] = "quickstart"
    """Settings that all variants share."""
    output: Path | None = None
    """Folder for the runs and the report; by default runs/reproduce/EXPERIMENT."""
    jobs: _Count = 1
    """Runs at a time, which share the cores."""
    train_options: tyro.conf.Positional[tuple[str, ...]] = ()
    """Options of scripts/train.py for all runs, after a --."""

    def __post_init__(self) -> None:
        check_settings(self)


def main() -> None:
    arguments = parse(Arguments, __doc__)
    experiment = EXPERIMENTS[arguments.experiment]
    output = arguments.output or Path("runs/reproduce") / arguments.experiment
    settings = {"data": arguments.data, "recipe": arguments.recipe, "seeds": arguments.seeds}
    settings["train_options"] = arguments.train_options
    runs = plan_runs(experiment, **settings, output=output)
    with locked(output):
        threads = threads_of_run(arguments.jobs)
        failed = train(runs, jobs=arguments.jobs, threads=threads)
        about = {"experiment": arguments.experiment, "question": experiment.question, **settings}
        found = collect(experiment, runs, about | {"jobs": arguments.jobs})
        write_json(output / "report.json", found)
        report = to_markdown(found)
        with replacing(output / "report.md") as temporary:
            temporary.write_text(report, encoding="utf-8")
    print(f"\n{report}\n{output / 'report.md'}, {output / 'report.json'}")
    if failed:
        print("failed:", *(f"{each.name} ({each.log})" for each in failed), sep="\n  ")
        sys.exit(1)


if __name__ == "__main__":
    run(main)
