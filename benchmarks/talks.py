"""How well sentences are found, and translated, in videos of several.

python -m benchmarks.talks runs/quickstart

Each talk has four sentences of one signer of the synthetic test split, with rests of 0.5 to 1
second. Its video is written as MP4 (H.264), and cut at its pauses. What is right is compared with
the same video cut by the true times, and with the clips alone, without compression.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from slt_fast import Translator
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import FRAME_RATE
from slt_fast.data.synthetic.talk import Talk
from slt_fast.inference.translate import translate_source
from slt_fast.visualize import write_video

NUM_SENTENCES = 4


def first_clips(seed: int, num_talks: int) -> list[str]:
    """Names the first clip of each talk; talks share no clip."""
    of_signer = Counter[str]()
    firsts = []
    for clip in read_synthetic("test", seed=seed):
        if of_signer[clip.signer] % NUM_SENTENCES == 0:
            firsts.append((of_signer[clip.signer], clip.id, clip.signer))
        of_signer[clip.signer] += 1
    whole = [one for one in firsts if one[0] + NUM_SENTENCES <= of_signer[one[2]]]
    return [clip for _, clip, _ in sorted(whole)[:num_talks]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--talks", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the corpus")
    arguments = parser.parse_args()
    translator = Translator.load(arguments.checkpoint, device="cpu")
    counts, worst = Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "talk.mp4")
        for first in tqdm(first_clips(arguments.seed, arguments.talks), unit="talk"):
            talk = Talk(first, NUM_SENTENCES, seed=arguments.seed)
            write_video(path, list(talk.frames()), fps=FRAME_RATE)
            found = list(translator.segments(path, sentences="pauses"))
            true = talk.sentences()
            counts["talks"] += 1
            counts["sentences"] += len(true)
            counts["sentences found"] += len(found)
            counts["talks with another number of sentences"] += len(found) != len(true)
            for sentence in true:
                near = min(found, key=lambda one: abs(one.start_s - sentence.start), default=None)
                if near is None:
                    continue
                error = max(abs(near.start_s - sentence.start), abs(near.end_s - sentence.end))
                counts["within 0.3 seconds"] += error <= 0.3
                worst = max(worst, error)
                counts["right"] += near.translation.text == sentence.clip.text
            for sentence in true:  # the same video, cut by its true times
                start, end = (round(at * FRAME_RATE) for at in (sentence.start, sentence.end))
                said = translator(path, start=start, end=end).text
                counts["right, cut by the true times"] += said == sentence.clip.text
                alone = translate_source(translator.trained, sentence.clip.source).text
                counts["right, each clip alone and not compressed"] += alone == sentence.clip.text
    for name, count in counts.items():
        print(f"{count:6} {name}")
    print(f"largest error of a start or an end: {worst:.2f} seconds")


if __name__ == "__main__":
    main()
