import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from slt_fast.ops.extension import PACKAGE, _load


def make_package(folder: Path, built: bool) -> Path:
    package = folder / "slt_fast"
    package.mkdir(parents=True)
    if built:
        (package / "_C.abi3.so").write_bytes(b"no library")
    return package


def test_sources_that_are_not_built_say_how_to_build_them(tmp_path, monkeypatch) -> None:
    package = make_package(tmp_path, built=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none")])
    expected = f"the extension is not built in {package}; `make setup` builds it"
    assert _load(package) == (None, expected)


def test_sources_that_hide_an_installed_package_name_it(tmp_path, monkeypatch) -> None:
    sources = make_package(tmp_path / "checkout", built=False)
    make_package(tmp_path / "also-not-built", built=False)
    installed = make_package(tmp_path / "site-packages", built=True)
    folders = [sources, tmp_path / "also-not-built/slt_fast", installed]
    monkeypatch.setattr(sys, "path", [str(folder.parent) for folder in folders])
    monkeypatch.chdir(sources.parent)
    _, reason = _load(sources)
    assert f"not built in {sources}; these sources hide the built package in {installed}" in reason
    assert "start Python in another folder, or build them with `pip install" in reason


def test_an_extension_that_does_not_load_says_how_to_build_it_again(tmp_path) -> None:
    package = make_package(tmp_path, built=True)
    extension, reason = _load(package)
    assert extension is None
    assert (
        f"does not load with torch {torch.__version__} ({package}/_C.abi3.so: file too short"
        in reason
    )
    assert "`pip install --no-build-isolation --force-reinstall --no-deps .`" in reason


def test_a_checkout_that_is_not_built_runs_and_names_the_package_that_it_hides(tmp_path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "slt_fast", ignore=shutil.ignore_patterns("*.so"))
    result = subprocess.run(
        [sys.executable, "-m", "slt_fast.info"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    reason = f"the extension is not built in {tmp_path / 'slt_fast'}; these sources hide the built"
    assert rows["extension"].startswith(f"{reason} package in {PACKAGE}")
    assert f": {reason}" in rows["optical_flow"]
