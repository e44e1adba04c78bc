"""Prints the faults as a table, and counts them."""

from collections import Counter
from collections.abc import Sequence

from fault_injection.faults import FAULTS
from fault_injection.runs import Outcome


def show_heading() -> None:
    """Prints the names of the columns."""
    print(f"{'':>4} | {'moment':<36} | steps lost | fault: what was seen", flush=True)


def show(number: int, outcome: Outcome) -> None:
    """Prints a fault as a row of a table."""
    _, step, seconds, seen, lost = outcome
    place = f"step {step}, {seconds:.1f} s after the start"
    row = f"{number:>4} | {place:<36} | {lost:>10} | {seen.fault}: {seen.effect}"
    print(row, flush=True)


def faults_not_seen(outcomes: Sequence[Outcome]) -> list[str]:
    """Prints how often each fault took effect; returns a line for each that never did."""
    counts = Counter(outcome.moment.fault for outcome in outcomes if outcome.seen.took_effect)
    lost = sum(outcome.lost for outcome in outcomes)
    print(*(f"{name} {counts[name]}" for name in FAULTS), f"steps taken again {lost}", sep=", ")
    return [f"{name}: found none that took effect" for name in FAULTS if not counts[name]]
