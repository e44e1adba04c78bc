"""A small data set on disk, and the damage to its clips."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import FRAME_RATE
from slt_fast.data.synthetic.phoenix_layout import write_frames

NUM_CLIPS = {"train": 60, "dev": 6, "test": 6}
SIZE = (64, 64)  # height and width in pixels


def write_data_set(folder: Path, seed: int) -> Path:
    """Renders clips of the synthetic corpus, every other one as a video; returns the manifest."""
    rows = ["id,video,gloss,text,split,fps"]
    for split, number in NUM_CLIPS.items():
        for index, clip in enumerate(read_synthetic(split, seed=seed, num_clips=number)):
            frames = replace(clip.source, size=SIZE).read()
            name, rate = (f"{clip.id}.mp4", "") if index % 2 else (clip.id, f"{FRAME_RATE:g}")
            write = _write_video if index % 2 else write_frames
            write(folder / name, frames)
            rows.append(f"{clip.id},{name},{' '.join(clip.glosses)},{clip.text},{split},{rate}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def _write_video(path: Path, frames: np.ndarray) -> None:
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, FRAME_RATE, SIZE[::-1])
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def damage_clip(folder: Path, draw: random.Random) -> tuple[Path, str, Callable[[], None]]:
    """Damages a clip of train or dev, which are read in each epoch.

    The file is replaced at once: a reader has the whole file or the damaged one. Videos are only
    truncated, because zeros in a video need not be noticed (docs/reliability.md).

    Args:
        folder: Folder that `write_data_set` filled.
        draw: Chooses the clip and its damage.

    Returns:
        The damaged file, the damage in words, and what restores the file.
    """
    clips = [path for path in folder.iterdir() if path.name.startswith(("train-", "dev-"))]
    path, damage = draw.choice(sorted(clips)), "truncated"
    if path.is_dir():
        path = draw.choice(sorted(path.iterdir()))
        damage = draw.choice(["truncated", "a third zeroed"])
    content = path.read_bytes()
    start = draw.randrange(len(content) // 4, len(content) // 2)
    damaged = content[:start]
    if damage == "a third zeroed":
        length = len(content) // 3
        damaged += bytes(length) + content[start + length :]
    _replace(path, damaged, folder)
    return path, damage, lambda: _replace(path, content, folder)


def _replace(path: Path, content: bytes, folder: Path) -> None:
    temporary = folder / "replacement"
    temporary.write_bytes(content)
    temporary.replace(path)
