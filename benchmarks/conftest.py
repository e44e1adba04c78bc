"""Settings of the benchmarks, and one table for each operator at their end."""

import os
from collections.abc import Iterator

import pytest
import torch

from benchmarks import comparison, machine

HEADLINE = "ours against peers, in turns (ratio: ours / peer, below 1 ours is faster)"
torch.backends.cudnn.allow_tf32 = False  # as for matrix products by default


@pytest.fixture
def keep_threads() -> Iterator[None]:
    """Restores the numbers of threads that a test sets."""
    import cv2  # not where only the operators are timed

    threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Replaces pytest-benchmark's table by ours; -v shows both."""
    config.option.benchmark_quiet = True


def pytest_report_header() -> str:
    """Uses one thread on busy cores, where two mostly wait for each other."""
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        torch.set_num_threads(1)
    return _machine()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the tables in the order of the files."""
    tables: dict[str, list[comparison.Row]] = {}
    for row in comparison.ROWS:
        tables.setdefault(row.table, []).append(row)
    for name, rows in tables.items():
        terminalreporter.section(f"{name}: {HEADLINE}" if rows[0].peer is not None else name)
        terminalreporter.write_line(_machine())
        lines = _lines([row.cells for row in rows])
        terminalreporter.write_line(next(lines))
        for row, line in zip(rows, lines, strict=True):
            terminalreporter.write_line(line, red=row.is_noise)
        if noisy := sum(row.is_noise for row in rows):
            line = f"NOISE: {noisy} of {len(rows)} rows mean nothing; measure on a quiet machine"
            terminalreporter.write_line(line, red=True, bold=True)


def _lines(rows: list[dict[str, str]]) -> Iterator[str]:
    """Yields a header and the rows, in columns, with an empty line before each new size."""
    header = {name: name for name in rows[0]}
    widths = {name: max(len(row[name]) for row in [header, *rows]) for name in header}
    size = None
    for row in [header, *rows]:
        cells = []
        for name, cell in row.items():
            aligned = cell.rjust if name.endswith((" ms", "ratio")) else cell.ljust
            cells.append(aligned(widths[name]))
        gap = "\n" if size not in (None, "size", row.get("size")) else ""
        size = row.get("size")
        yield gap + "  ".join(cells).rstrip()


def _machine() -> str:
    facts = machine.describe(comparison.DEVICE)
    described = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{described}, threads {torch.get_num_threads()}, load {os.getloadavg()[0]:.1f}"
