"""Settings of the benchmarks, and the table of ours against eager at their end."""

import os

import pytest
import torch

from benchmarks import reporting


def pytest_report_header() -> str:
    """Threads on busy cores mostly wait for one another: there one is used."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > os.cpu_count() / 2:
        torch.set_num_threads(1)
    return f"threads: {torch.get_num_threads()} (load of the machine's cores: {load:.1f})"


@pytest.fixture(scope="session", autouse=True)
def exact_float32() -> None:
    """Convolutions in float32 as matrix products are by default: without TF32."""
    torch.backends.cudnn.allow_tf32 = False


def pytest_terminal_summary(terminalreporter) -> None:
    if reporting.RATIOS:
        _tell_ratios(terminalreporter)
    if reporting.FLOWS:
        _tell_flows(terminalreporter)


def _tell_ratios(terminalreporter) -> None:
    terminalreporter.section("ours / eager, both in one run (below 1: ours is faster)")
    header = f"{'operator':<24}{'side':<6}{'layout':<15}{'direction':<11}"
    terminalreporter.write_line(f"{header}{'ours':>10}{'eager':>10}{'ratio':>8}   p20 - p80")
    for row in reporting.RATIOS:
        terminalreporter.write_line(
            f"{row['operator']:<24}{row['side']:<6}{row['layout']:<15}{row['direction']:<11}"
            f"{row['ours'] * 1e3:>7.2f} ms{row['eager'] * 1e3:>7.2f} ms{row['ratio']:>8.2f}"
            f"   {row['p20']:.2f} - {row['p80']:.2f}"
        )


def _tell_flows(terminalreporter) -> None:
    terminalreporter.section("optical flow (a ratio above 1: the first is faster)")
    header = f"{'flow':<54}{'a pair':>11}{'ratio':>8}   p20 - p80  "
    terminalreporter.write_line(f"{header}end-point error (of the other)")
    for row in reporting.FLOWS:
        line = f"{row['flow']:<54}{row['seconds'] * 1e3:>8.2f} ms{row['ratio']:>8.2f}"
        line += f"   {row['p20']:.2f} - {row['p80']:.2f}"
        if "end-point errors" in row:
            own, other = row["end-point errors"]
            line += f"  {own:.3f} ({other:.3f})"
        terminalreporter.write_line(line)
