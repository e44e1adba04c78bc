"""Runs an experiment, each variant with several seeds, and reports.

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
    """Runs an experiment."""

    experiment: Literal[tuple(EXPERIMENTS)]
    """What to ask; docs/experiments.md explains each."""
    seeds: _Count = 3
    """Runs of each variant, with the seeds from 0 on."""
    data: str | None = None
    """synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE; by default
    synthetic. phoenix-rendered has no default."""
    recipe: Literal["quickstart", "paper", "fast"] | None = None
    """Settings that all variants share; by default quickstart. Variants of phoenix-rendered have
    their own."""
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
    data = arguments.data or experiment.data
    settings = {"data": data, "seeds": arguments.seeds, "train_options": arguments.train_options}
    runs = plan_runs(experiment, **settings, recipe=arguments.recipe, output=output)
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
