"""Translates clips with an exported model by ONNX and by torch.export, without slt_fast.

python translating.py FOLDER CLIPS

Prints as JSON what each way says of the clips (.npy files): lists of a text and of glosses.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch


def _by_onnx(folder):
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
    decoder = onnxruntime.InferenceSession(folder / "decoder.onnx")
    names = [entry.name for entry in decoder.get_inputs()]
    return (
        lambda images: encoder.run(None, {"images": images}),
        lambda *inputs: decoder.run(None, dict(zip(names, inputs, strict=True))),
    )


def _by_torch(folder):
    encoder = torch.export.load(folder / "encoder.pt2").module()
    decoder = torch.export.load(folder / "decoder.pt2").module()

    def run(module, **inputs):
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return [tensor.numpy() for tensor in module(**tensors)]

    return (
        lambda images: run(encoder, images=images),
        lambda tokens, rows, memory, past: run(
            decoder, tokens=tokens, rows=rows, memory=memory, past=past
        ),
    )


def _say(folder, clips, encode, step):
    spec = importlib.util.spec_from_file_location("translate", folder / "translate.py")
    translate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(translate)
    tokens, search = (json.loads((folder / f"{one}.json").read_text()) for one in _FILES)
    said = []
    for clip in sorted(clips.glob("*.npy")):
        memory, *logits = encode(np.load(clip))
        text = translate.text_of(translate.beam_search(step, memory, search), tokens)
        said.append([text, " ".join(translate.glosses_of(one, tokens) for one in logits)])
    return said


_FILES = ("tokens", "search")
folder, clips = map(Path, sys.argv[1:])
ways = {"onnx": _by_onnx(folder), "torch": _by_torch(folder)}
said = {name: _say(folder, clips, *way) for name, way in ways.items()}
assert "slt_fast" not in sys.modules
print(json.dumps(said))
