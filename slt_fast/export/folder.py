"""The folder of an exported model: graphs, what they need, and two programs that run them.

encoder.onnx, decoder.onnx, encoder.pt2, decoder.pt2
tokens.json             words and glosses
search.json             settings of the beam search
preprocessing.json      how the images of a clip are made
translate.py, images.py from images to a sentence, and from a video to images
README.md               how to run them
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.input import blank_value
from slt_fast.data.vocabulary import BOS, EOS
from slt_fast.errors import DataError, UserError
from slt_fast.export.checking import largest_difference
from slt_fast.export.graphs import Graph, empty_past, export_graphs
from slt_fast.export.readme import readme_of
from slt_fast.files import replacing_folder, write_json
from slt_fast.ops.optical_flow.presets import OPENCV_COUNTERPARTS, OPENCV_PRESETS
from slt_fast.version import __version__

FILES = (
    *("encoder.onnx", "decoder.onnx", "encoder.pt2", "decoder.pt2"),
    *("tokens.json", "search.json", "preprocessing.json"),
    *("translate.py", "images.py", "README.md"),
)
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_TALKATIVE = ("onnxscript", "onnx_ir")


def check_installed() -> None:
    """Raises UserError if a library of the extra export is missing."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            expected = "expected those of the extra export (pip install '.[slt,export]')"
            raise UserError(f"export: found no module {name}; {expected}")


def check_folder(folder: Path) -> None:
    """Raises DataError if a folder holds anything but a whole export, as others are not ours."""
    if folder.is_file():
        raise DataError(folder, "a file", "a folder to write to")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names.discard("__pycache__")
    if not names or names == set(FILES):
        return
    others, missing = sorted(names.difference(FILES)), sorted(set(FILES) - names)
    found = f"{others[0]} in it" if others else f"no {missing[0]} in it"
    raise DataError(folder, found, "a whole export, or an empty or new folder")


def export_model(trained: TrainedModel, folder: Path) -> float:
    """Writes encoder and decoder of a model for other programs; an older export is replaced.

    Returns:
        The largest difference between the graphs and the network, as largest_difference returns it.

    Raises:
        DataError: The folder holds something else.
        UserError: The model takes glosses, or a library is missing.
        OSError: The folder cannot be written.
        RuntimeError: A graph does not compute what the network does.
    """
    check_installed()
    # A link would be replaced by the folder, and "." has no name to write beside.
    folder = Path(os.path.realpath(folder))
    check_folder(folder)
    with replacing_folder(folder) as temporary:
        with _quiet():
            for name, graph in export_graphs(trained).items():
                _write_graph(graph, temporary / name)
        for name in ("translate.py", "images.py"):
            shutil.copyfile(Path(__file__).with_name(name), temporary / name)
        write_json(temporary / "tokens.json", _tokens(trained))
        write_json(temporary / "search.json", _search(trained))
        write_json(temporary / "preprocessing.json", _preprocessing(trained))
        (temporary / "README.md").write_text(readme_of(trained), encoding="utf-8")
        return largest_difference(trained, temporary)


def _write_graph(graph: Graph, path: Path) -> None:
    """Writes PATH.pt2 and PATH.onnx."""
    torch.export.save(graph.program, path.with_suffix(".pt2"))
    torch.onnx.export(
        graph.program,
        f=str(path.with_suffix(".onnx")),
        input_names=graph.inputs,
        output_names=graph.outputs,
        dynamic_shapes=graph.dynamic,
        external_data=False,
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the log of each constant, and two warnings that need nothing to be done.

    They are of a size that several inputs have, and of weights that are parts of one tensor.
    """
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name")
            warnings.filterwarnings("ignore", "No complete tensor found in the group")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _tokens(trained: TrainedModel) -> dict[str, Any]:
    words, glosses = trained.vocabularies.text, trained.vocabularies.gloss
    return {
        "text_units": trained.vocabularies.units.kind,
        "special_words": words.specials,
        "words": words.tokens,
        "special_glosses": glosses.specials,
        "glosses": glosses.tokens,
    }


def _search(trained: TrainedModel) -> dict[str, Any]:
    search = trained.recipe.search
    return {
        "beam_size": search.beam_size,
        "length_penalty": search.length_penalty,
        "max_text_length": search.max_text_length,
        "begin": BOS,
        "end": EOS,
        "past": [*empty_past(trained).shape],
    }


def _preprocessing(trained: TrainedModel) -> dict[str, Any]:
    config = trained.recipe.input
    facts: dict[str, Any] = {
        "slt_fast": __version__,
        "input": config.input,
        "image_size": config.image_size,
        "frames_per_second": trained.trained_on.fps,
    }
    if config.input == "flow":
        counterpart = (OPENCV_COUNTERPARTS | OPENCV_PRESETS).get(config.flow_preset)
        facts |= {
            "flow": {"preset": config.flow_preset, **config.parameters()},
            "opencv": None if counterpart is None else vars(counterpart),
            "flow_encoder": config.flow_encoder,
            "flow_bound": config.flow_bound,
            "zero_flow": blank_value(config).flatten().tolist(),
        }
    return facts
