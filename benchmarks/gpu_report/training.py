"""Runs the benchmarks of the training, which need the packages of slt_fast[slt]."""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.jobs import ROOT, run_command

_FILES = [f"benchmarks/test_training_{part}.py" for part in ("step", "loader", "memory")]
_PACKAGES = (
    *("av", "cv2", "rich", "sacrebleu", "safetensors", "simplejpeg", "tensorboard", "torchvision"),
    "tqdm",
)
_PYTEST = ("-m", "pytest", "-c", "pyproject.toml", "-q", "-p", "no:cacheprovider")


def run(keyword: str, deadline: float) -> dict:
    """Runs them until a deadline of time.monotonic; the keyword is pytest's -k.

    Returns:
        {"rows": the cells of each row, by column, "passed": ..., "detail": ...}; "passed" is None
        without the packages.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return {"rows": [], "passed": None, "detail": f"not installed: {', '.join(missing)}"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        options = ["--benchmark-only", f"--benchmark-json={path}", "-k", keyword]
        command = [sys.executable, *_PYTEST, *options, *_FILES]
        status, output = run_command(command, deadline, {"PYTHONPATH": str(ROOT)})
        found = json.loads(path.read_text())["benchmarks"] if path.is_file() else []
    rows = [result["extra_info"] for result in found]
    detail = f"{len(rows)} rows" if status == 0 else output[-500:]
    return {"rows": [_cells(row) for row in rows], "passed": status == 0, "detail": detail}


def _cells(row: dict) -> dict[str, str]:
    """Returns what the table of `make bench` shows of a row."""
    return {name: str(cell) for name, cell in row.items() if isinstance(cell, str)}
