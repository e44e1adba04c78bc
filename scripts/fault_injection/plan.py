"""Draws from a seed when which fault happens, and which steps meet NaN."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS_PER_NAN = 60
_SHARE_AT_START = 0.2  # of the faults, as many more happen while a training starts


@dataclass(frozen=True)
class Moment:
    """When a fault happens.

    Args:
        fault: Name of the fault.
        step: Step whose beginning it follows; None for the start of a training.
        delay: Seconds after that.
        latest: Step whose beginning ends the delay, so that nothing depends on the pace; None for
            no such step.
    """

    fault: str
    step: int | None
    delay: float
    latest: int | None = None


def plan_faults(
    draw: random.Random,
    faults: Sequence[str],
    at_start: Sequence[str],
    *,
    number: int,
    steps: int,
    rest: int,
    step_seconds: float,
    start_seconds: float,
) -> list[Moment]:
    """Plans faults for a run: each once in random order, then random ones, at rising steps.

    Args:
        draw: Draws what is left to chance.
        faults: Names of the faults.
        at_start: Names of those that may happen while a training starts.
        number: Number of the faults at steps; more are added at starts.
        steps: Steps of the run.
        rest: Those at its end that are left alone, so that the last fault takes effect before.
        step_seconds: Seconds of a step, scoring included. A fault follows a step by up to half of
            the steps from one fault to the next, so that all parts of an epoch are met.
        start_seconds: Seconds until the first step; the longest delay after a start.
    """
    names = draw.sample(faults, len(faults))
    names += draw.choices(faults, k=max(0, number - len(names)))
    length = (steps - rest) / len(names)
    plan = []
    for index, name in enumerate(names):
        step, latest = int((index + draw.random()) * length), int((index + 1) * length)
        plan.append(Moment(name, step, draw.uniform(0, length / 2 * step_seconds), latest))
        if draw.random() < _SHARE_AT_START:
            plan.append(Moment(draw.choice(at_start), None, draw.uniform(0, start_seconds)))
    return plan


def plan_nan(draw: random.Random, steps: int) -> list[int]:
    """Draws steps that meet NaN; two of them follow each other."""
    pair = draw.randrange(steps - 1)
    others = draw.sample(range(steps), steps // _STEPS_PER_NAN)
    return sorted({pair, pair + 1, *others})
