"""Translates a clip with an exported model; needs numpy and onnxruntime only.

python translate.py images.npy

The file holds the images of a clip, float32 [T, 3, H, W] in [0, 1], as preprocessing.json says.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Step = Callable[..., tuple[np.ndarray, np.ndarray]]


def beam_search(step: Step, memory: np.ndarray, search: dict[str, Any]) -> list[int]:
    """Returns the best sequence of words; a beam size of 1 is greedy search.

    Args:
        step: The decoder: (tokens, rows, memory, past) -> logits, next past.
        memory: Output of the encoder.
        search: What search.json holds.
    """
    K, longest, penalty = search["beam_size"], search["max_text_length"], search["length_penalty"]
    tokens, rows = np.full((K, 1), search["begin"]), np.arange(K)
    scores = np.where(rows == 0, 0, -np.inf).astype(np.float32)  # all begin equal: one may grow
    layers, two, _, heads, _, width = search["past"]
    past = np.zeros((layers, two, K, heads, 0, width), np.float32)
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, longest + 1):
        logits, past = step(tokens, rows, memory, past)
        sums = (scores[:, None] + log_softmax(logits)).ravel()
        best = np.argsort(-sums, kind="stable")[: 2 * K]
        rows, words = np.divmod(best, logits.shape[1])
        is_end = words == search["end"]
        norm = ((5 + length) / 6) ** penalty
        for place in np.flatnonzero(is_end[:K] & np.isfinite(sums[best[:K]])):
            if len(ended) < K:
                ended.append((float(sums[best[place]]) / norm, tokens[rows[place], 1:].tolist()))
        kept = np.flatnonzero(~is_end)[:K]
        scores, rows = sums[best[kept]], rows[kept]
        tokens = np.concatenate([tokens[rows], words[kept, None]], axis=1)
        if len(ended) == K:
            break
    else:  # too long: they are cut off
        cut = np.flatnonzero(np.isfinite(scores))[: K - len(ended)]
        ended += [(float(scores[k]) / norm, tokens[k, 1:].tolist()) for k in cut]
    return max(ended)[1]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def text_of(numbers: list[int], tokens: dict[str, Any]) -> str:
    """Returns the text of the numbers of words."""
    words, units = [tokens["words"][number] for number in numbers], tokens["text_units"]
    words = [word for word in words if word not in tokens["special_words"]]
    if units in ("character", "subword"):
        text = "".join(words).replace("\u2581", " ")
        return text.strip() if units == "subword" else text
    text = " ".join(words)
    if units == "punctuated":  # the mark is on the side of a punctuation mark that touches a word
        text = text.replace(" \uffed", "").replace("\uffed ", "").replace("\uffed", "")
    return text


def glosses_of(logits: np.ndarray, tokens: dict[str, Any]) -> str:
    """Returns the glosses of the best path: without repeats and blanks."""
    path = logits.argmax(-1)
    changes = np.flatnonzero(np.diff(path, prepend=-1))
    names = [tokens["glosses"][number] for number in path[changes]]
    return " ".join(name for name in names if name not in tokens["special_glosses"])


def main() -> None:
    import onnxruntime

    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(__file__).resolve().parent
    images = np.load(sys.argv[1]).astype(np.float32)
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    search = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
    decoder = onnxruntime.InferenceSession(folder / "decoder.onnx")

    def step(*inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names = ("tokens", "rows", "memory", "past")
        return decoder.run(None, dict(zip(names, inputs, strict=True)))

    memory, *gloss_logits = encoder.run(None, {"images": images})
    print(text_of(beam_search(step, memory, search), tokens))
    for logits in gloss_logits:  # none if the model was trained without glosses
        print("glosses:", glosses_of(logits, tokens))


if __name__ == "__main__":
    main()
