"""What is written beside the graphs, and what is never overwritten."""

import json

import pytest

from slt_fast.errors import DataError, UserError
from slt_fast.export import folder as exporting
from slt_fast.export.folder import FILES, check_folder, check_installed, export_model
from tests.export.models import trained_model


@pytest.fixture
def no_graphs(monkeypatch) -> None:
    """Leaves the graphs out, which take seconds: empty files instead."""
    monkeypatch.setattr(exporting, "export_graphs", lambda trained: {"encoder": 0, "decoder": 0})
    monkeypatch.setattr(
        exporting,
        "_write_graph",
        lambda graph, path: [path.with_suffix(end).touch() for end in (".onnx", ".pt2")],
    )
    monkeypatch.setattr(exporting, "largest_difference", lambda trained, folder: 0.0)


def test_the_files_describe_the_model(no_graphs, tmp_path) -> None:
    trained = trained_model("paper")
    export_model(trained, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    tokens = json.loads((tmp_path / "out" / "tokens.json").read_text(encoding="utf-8"))
    assert tokens["words"] == [*trained.vocabularies.text.tokens]
    assert tokens["glosses"] == ["<blank>", "<unk>", "HUND", "SCHLAF"]
    facts = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert facts["flow"]["preset"] == "default" and facts["flow"]["algorithm"] == "disvr"
    assert (facts["image_size"], facts["flow_bound"]) == (32, 8.0)
    assert facts["frames_per_second"] == trained.trained_on.fps
    search = json.loads((tmp_path / "out" / "search.json").read_text())
    assert (search["beam_size"], search["past"]) == (3, [2, 2, 1, 4, 0, 8])
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "[T, 3, 32, 32]" in text and "{" not in text.replace('{"bound"', "")


def test_an_older_export_is_replaced(no_graphs, tmp_path) -> None:
    export_model(trained_model("paper"), tmp_path)
    export_model(trained_model("pixel"), tmp_path)
    facts = json.loads((tmp_path / "preprocessing.json").read_text())
    assert facts["input"] == "rgb" and "flow" not in facts
    assert "gloss_logits" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_failure_leaves_the_older_export(no_graphs, tmp_path, monkeypatch) -> None:
    export_model(trained_model("paper"), tmp_path / "out")
    before = (tmp_path / "out" / "preprocessing.json").read_text()

    def fail(*_: object) -> float:
        raise RuntimeError("found output 0 to differ")

    monkeypatch.setattr(exporting, "largest_difference", fail)
    with pytest.raises(RuntimeError, match="to differ"):
        export_model(trained_model("pixel"), tmp_path / "out")
    assert (tmp_path / "out" / "preprocessing.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("names", [["notes.txt"], [*FILES, "notes.txt"], ["README.md"]])
def test_folders_of_others_are_refused(tmp_path, names) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="notes.txt in it|no decoder.onnx in it"):
        check_folder(tmp_path)


def test_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="found a file; expected a folder"):
        check_folder(tmp_path / "out")


def test_a_missing_library_is_named(monkeypatch) -> None:
    monkeypatch.setattr(exporting, "_NEEDED", ("onnx", "no_such_module"))
    with pytest.raises(UserError, match=r"no module no_such_module; .*slt,export"):
        check_installed()
