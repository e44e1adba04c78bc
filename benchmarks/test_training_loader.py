"""Reading a clip for training against the plain path: from the disk to images of 224x224.

Ours decodes frames, computes the flow and resizes it, or reads the flow from a cache. The plain
path does it by OpenCV, with the preset "medium" of its DIS flow, which is nearest to ours: to
"default" if it ends at the frames' own scale, to "fast" as it is. One thread each, as in a loader
process.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import comparison
from benchmarks.cases import moving_clip
from benchmarks.plain_training import plain_images
from slt_fast.data.cached_flow import find_cached_flow, to_float16, write_cached_flow
from slt_fast.data.clip import Clip
from slt_fast.data.flow_images import clip_flow
from slt_fast.data.loading import load_images
from slt_fast.data.sources import read_split
from slt_fast.data.video.source import VideoSource
from slt_fast.recipe import RECIPES

SIZE = (260, 210)  # height and width of a frame of PHOENIX-2014-T
CONFIG = RECIPES["fast"].input


@pytest.fixture(autouse=True)
def one_thread(keep_threads: None) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def check_known_motion(folder: Path) -> None:
    """Both ways find a texture that moves by (-2, -1); drawn hands outrun either flow."""
    H, W = SIZE
    frames = moving_clip(4, H, W).unsqueeze(-1).expand(-1, -1, -1, 3).numpy()
    paths = write(folder, "png", frames)
    size, bound = CONFIG.image_size, CONFIG.flow_bound
    motion = torch.tensor([-2 * size / W, -1 * size / H]) / bound
    truth = torch.cat([0.5 + 0.5 * motion, motion.norm(keepdim=True)]).view(3, 1, 1)
    made = load_images(Clip("clip", VideoSource(folder)), CONFIG).float()
    for images in (made, plain_images(paths, size=size, bound=bound)):
        assert len(images) == 4
        assert (images[1:] - truth)[..., 16:-16, 16:-16].abs().mean() < 0.02


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Frames of the synthetic signer as .png and .jpg files."""
    source = replace(read_split("synthetic", "train")[0].source, size=SIZE)
    folders = {suffix: tmp_path_factory.mktemp(suffix) for suffix in ("png", "jpg")}
    for suffix, folder in folders.items():
        write(folder, suffix, source.read())
    check_known_motion(tmp_path_factory.mktemp("texture"))  # no time for a wrong flow
    return folders


def write(folder: Path, suffix: str, frames: np.ndarray) -> list[Path]:
    paths = [folder / f"{number:04d}.{suffix}" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        cv2.imwrite(str(path), frame[..., ::-1])
    return paths


def clip_of(folder: Path, cache: Path | None = None) -> Clip:
    """Returns the clip of a folder of frames, with its flow in a cache if there is one."""
    source = VideoSource(folder)
    if cache is None:
        return Clip("clip", source)
    size, path = CONFIG.image_size, cache / "flow.safetensors"
    flow = clip_flow(torch.from_numpy(source.read()), size=(size, size), preset="default")
    write_cached_flow(path, to_float16(flow), {})
    return Clip("clip", source, cached_flow=find_cached_flow(path, {}, size, "clip"))


def seconds_a_frame(read: Callable[[], torch.Tensor], num_frames: int) -> float:
    start = time.perf_counter()
    assert len(read()) == num_frames
    return (time.perf_counter() - start) / num_frames


@pytest.mark.parametrize(
    ("kind", "preset"),
    [("png", "default"), ("jpg", "default"), ("png", "fast"), ("flow cache", "default")],
)
def test_clip(benchmark, folders: dict[str, Path], tmp_path: Path, kind: str, preset: str) -> None:
    folder = folders["png" if kind == "flow cache" else kind]
    clip = clip_of(folder, tmp_path if kind == "flow cache" else None)
    config, paths = replace(CONFIG, flow_preset=preset), sorted(folder.iterdir())
    size, bound, finest_scale = config.image_size, config.flow_bound, int(preset == "fast")

    def ours() -> torch.Tensor:
        return load_images(clip, config)

    def plain() -> torch.Tensor:
        return plain_images(paths, size=size, bound=bound, finest_scale=finest_scale)

    sides = [functools.partial(seconds_a_frame, side, len(paths)) for side in (ours, plain)]
    samples = comparison.in_turns(benchmark, *sides, num_pairs=9)
    files = tmp_path.iterdir() if kind == "flow cache" else paths
    num_bytes = sum(path.stat().st_size for path in files) / len(paths)
    facts = {"size": f"{SIZE[1]}x{SIZE[0]} to {size}x{size}", "from": kind, "preset": preset}
    facts |= {"threads": "1", "KB a frame": f"{num_bytes / 1e3:.0f}"}
    facts |= {"frames/s": f"{1 / np.median(samples[:, 0]):.0f}"}
    comparison.add_row(benchmark, comparison.Row("training_loader", facts, *samples.T))
