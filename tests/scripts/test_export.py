import json
import subprocess
import sys
from pathlib import Path

import pytest

from slt_fast.export import folder as exporting
from slt_fast.export.folder import FILES


def test_an_exported_model_translates_a_video_by_its_own_programs(
    run_script, tmp_path, checkpoint, manifest
) -> None:
    output = tmp_path / "out"
    shown = run_script("export.py", "--checkpoint", checkpoint, "--output", output)
    assert shown.status == 0, shown.err
    assert "encoder.onnx" in shown.out and "largest difference" in shown.out
    assert {path.name for path in output.iterdir()} == set(FILES)

    video, images = manifest.parent / "first.mp4", tmp_path / "images.npy"
    _run(output / "images.py", video, images)
    text, glosses = _run(output / "translate.py", images).splitlines()
    words = json.loads((output / "tokens.json").read_text())["words"]
    assert set(text.split()) <= set(words)
    assert glosses.startswith("glosses:")


def test_help_of_the_exported_programs_needs_no_file(tmp_path) -> None:
    for name in ("images.py", "translate.py"):
        program = Path(exporting.__file__).with_name(name)
        result = subprocess.run([sys.executable, program], capture_output=True, text=True)
        assert result.returncode == 1 and f"python {name}" in result.stderr


@pytest.fixture
def no_export(monkeypatch) -> None:
    """Fails if anything is exported."""

    def fail(*_: object) -> None:
        raise AssertionError("exported")

    monkeypatch.setattr(exporting, "export_graphs", fail)


def test_a_folder_of_others_is_refused(no_export, run_script, tmp_path, checkpoint) -> None:
    (tmp_path / "thesis.tex").touch()
    shown = run_script("export.py", "--checkpoint", checkpoint, "--output", tmp_path)
    assert shown.status == 1
    assert "found thesis.tex in it; expected a whole export, or an empty or new" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("place", [".", "best/exported", "exported", ".."])
def test_the_checkpoint_is_not_written_to(no_export, run_script, checkpoint, place) -> None:
    before = sorted(checkpoint.rglob("*"))
    inside = checkpoint / "checkpoints" / "step-00000000.0"
    output = inside / "exported" if place == "exported" else checkpoint / place
    shown = run_script("export.py", "--checkpoint", checkpoint, "--output", output)
    assert shown.status == 1 and "error:" in shown.err
    assert sorted(checkpoint.rglob("*")) == before


def _run(program: Path, *arguments: Path) -> str:
    command = [sys.executable, program, *arguments]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout
