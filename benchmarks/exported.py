"""How fast an exported encoder is, and whether an exported model says what the package says.

python -m benchmarks.exported runs/quickstart

Clips of the synthetic test split, in float32, with as many threads as torch has. The encoders take
turns on each clip, so that other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tqdm import tqdm

from slt_fast.checkpoint import load_model
from slt_fast.data.synthetic import read_synthetic
from slt_fast.export import images as opencv
from slt_fast.export import translate
from slt_fast.export.folder import export_model
from slt_fast.inference.translate import encode_batch, read_source, translate_batch

NUM_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--clips", type=int, default=20)
    arguments = parser.parse_args()
    trained = load_model(arguments.checkpoint)
    precise = replace(trained.recipe.training, precision="float32")
    trained = replace(trained, recipe=replace(trained.recipe, training=precise))
    counts, times = Counter[str](), []
    with tempfile.TemporaryDirectory() as place:
        export_model(trained, folder := Path(place, "exported"))
        encoder, decoder = (_session(folder / f"{name}.onnx") for name in ("encoder", "decoder"))
        tokens, search, facts = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("tokens", "search", "preprocessing")
        )

    def step(*inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names = (entry.name for entry in decoder.get_inputs())
        return decoder.run(None, dict(zip(names, inputs, strict=True)))

    def say(images: np.ndarray) -> str:
        memory, *_ = encoder.run(None, {"images": images})
        return translate.text_of(translate.beam_search(step, memory, search), tokens)

    for clip in tqdm(read_synthetic("test")[: arguments.clips], unit="clip"):
        batch = read_source(trained, clip.source)
        images = batch.images.float().numpy()
        said = translate_batch(trained, batch, search=trained.recipe.search)[0].text
        frames = [frame[..., ::-1].copy() for frame in clip.source.read()]
        counts["clips"] += 1
        counts["the same sentence by onnxruntime"] += say(images) == said
        counts["right"] += said == clip.text
        counts["right with OpenCV's flow"] += say(opencv.flow_images(frames, facts)) == clip.text
        for _ in range(NUM_ROUNDS):
            start = time.perf_counter()
            encode_batch(trained, batch)
            between = time.perf_counter()
            encoder.run(None, {"images": images})
            times.append((between - start, time.perf_counter() - between, len(images)))
    for name, count in counts.items():
        print(f"{count:6} {name}")
    package, exported = (
        statistics.median(1000 * one[way] / one[2] for one in times) for way in (0, 1)
    )
    ratio = statistics.median(one[1] / one[0] for one in times)
    print(f"ms a frame, median: package {package:.3f}, onnxruntime {exported:.3f}")
    print(f"onnxruntime over package, median of the ratios: {ratio:.2f}")


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options)


if __name__ == "__main__":
    main()
