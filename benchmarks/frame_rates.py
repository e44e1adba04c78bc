"""How often a synthetic clip keeps its translation when it is filmed at other frame rates.

python -m benchmarks.frame_rates runs/quickstart --clips 60

Each clip is rendered 150 times a second, with poses between the corpus' own; videos of all rates
take their pictures from there. Counted are clips that are translated rightly at 25 frames a second.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from slt_fast import Translator
from slt_fast.data.cameras import Camera
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import FRAME_RATE

FINEST = 150
RATES = (25, 12.5, 30, 50)


def moments(num_frames: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the numbers of the pictures of each video; the last varies from 25 to 50 a second."""
    kept = {f"{rate:g}": np.arange(0, num_frames, round(FINEST / rate)) for rate in RATES}
    steps = generator.integers(FINEST // 50, FINEST // 25 + 1, num_frames).cumsum()
    kept["25 to 50"] = np.array([0, *steps[steps < num_frames]])
    return kept


def write_video(path: Path, frames: Sequence[np.ndarray], numbers: np.ndarray) -> None:
    """Writes a video without loss, with a time for each frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FINEST)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        stream.codec_context.time_base = Fraction(1, FINEST)
        for frame, number in zip(frames, numbers, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = int(number), Fraction(1, FINEST)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--clips", type=int, default=60)
    arguments = parser.parse_args()
    translator = Translator.load(arguments.checkpoint, device="cpu", fps=FRAME_RATE)
    generator, counts, num_right = np.random.default_rng(0), dict[str, int](), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mkv")
        for clip in tqdm(read_synthetic("test", num_clips=arguments.clips), unit="clip"):
            frames = clip.source.at_rate(FINEST, Camera(FINEST, FINEST)).read()
            for name, numbers in moments(len(frames), generator).items():
                write_video(path, frames[numbers], numbers)
                said = translator(path).text
                if name == "25" and said != clip.text:
                    break
                counts[name] = counts.get(name, 0) + (said == clip.text)
            else:
                num_right += 1
    for name, count in counts.items():
        print(f"{name:>8} frames a second: {count} of {num_right} keep their sentence")


if __name__ == "__main__":
    main()
