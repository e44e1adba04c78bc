import os
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from slt_fast.data.flow_cache import extraction
from slt_fast.data.flow_cache.cache import FlowCache, flow_bytes, open_flow_cache
from slt_fast.data.flow_cache.extraction import (
    extract,
    extract_clip,
    make_plan,
    share_of_work,
)
from slt_fast.data.flow_images import clip_flow, flow_parts
from slt_fast.data.input import InputConfig
from slt_fast.data.synthetic import SyntheticSource
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

FLOW = InputConfig(image_size=32, flow_preset="fast")


@pytest.fixture
def cache(tmp_path: Path) -> FlowCache:
    return open_flow_cache(tmp_path / "cache", FLOW, tmp_path, create=True)


@pytest.fixture
def sources(tmp_path: Path) -> list[VideoSource]:
    """Seven folders of 2 to 8 frames."""
    generator, found = np.random.default_rng(0), []
    for number in range(7):
        (tmp_path / f"clip{number}").mkdir()
        for index in range(number + 2):
            frame = generator.integers(0, 255, (16, 20, 3), dtype=np.uint8)
            assert cv2.imwrite(str(tmp_path / f"clip{number}" / f"{index}.png"), frame)
        found.append(VideoSource(tmp_path / f"clip{number}"))
    return found


def kept(cache: FlowCache) -> dict[str, int]:
    """Time of change of each file."""
    return {path.name: path.stat().st_mtime_ns for path in cache.folder.glob("*.safetensors")}


def test_everything_is_computed_once(cache: FlowCache, sources) -> None:
    plan = make_plan([*sources, *sources[:2], replace(sources[0], start=0)], cache)
    assert plan.todo == sources and (plan.num_found, plan.num_missing) == (0, 7)
    assert extract(plan, cache, FLOW, num_workers=0) == [2, 3, 4, 5, 6, 7, 8]
    for source in sources:
        expected = clip_flow(torch.from_numpy(source.read()), size=(32, 32), preset="fast")
        assert torch.equal(cache.find(source).read(), expected.half())
    before = kept(cache)
    again = make_plan(sources, cache)
    assert again.todo == [] and (again.num_found, again.num_missing, again.num_bytes) == (7, 0, 0)
    assert extract(again, cache, FLOW, num_workers=3) == [] and kept(cache) == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_flow_of_this_process_is_that_of_the_workers(cache, sources, num_workers: int) -> None:
    gone, plan = VideoSource(cache.data_root / "gone.mp4"), make_plan(sources, cache)
    extract(plan, cache, FLOW, num_workers=0)
    expected = [cache.find(source).read() for source in sources]
    for source in sources:
        cache.path(source).unlink()
    problems: list[DataError] = []
    options = {"num_workers": num_workers, "device": torch.device("cpu")}
    plan = replace(plan, todo=[*sources[:3], gone, *sources[3:]])
    assert extract(plan, cache, FLOW, **options, on_error=problems.append) == [2, 3, 4, 5, 6, 7, 8]
    assert [error.path for error in problems] == [str(gone.path)]
    assert all(map(torch.equal, expected, (cache.find(source).read() for source in sources)))


def test_only_what_is_missing_broken_or_changed_is_computed(cache: FlowCache, sources) -> None:
    extract(make_plan(sources, cache), cache, FLOW, num_workers=0)
    before = kept(cache)
    cache.path(sources[1]).unlink()
    broken = cache.path(sources[3])
    broken.write_bytes(broken.read_bytes()[:-10])
    (sources[5].path / "0.png").unlink()
    leftovers = [cache.folder / f".{name}.host-1.writing" for name in "ab"]
    for path in leftovers:
        path.write_bytes(b"half a file")
    os.utime(leftovers[0], (time.time() - 4000,) * 2)
    plan = make_plan(sources, open_flow_cache(cache.folder, FLOW, cache.data_root, create=True))
    assert plan.todo == [sources[1], sources[3], sources[5]]
    assert (plan.num_found, plan.num_missing) == (4, 1)  # two take the place of others
    assert extract(plan, cache, FLOW, num_workers=0) == [3, 5, 6]
    changed = {name for name, at in kept(cache).items() if before.get(name) != at}
    assert changed == {cache.path(source).name for source in plan.todo}
    assert [path.exists() for path in leftovers] == [False, True]  # the other may be in work


def test_ranks_share_everything(cache: FlowCache, sources) -> None:
    plans = [make_plan(sources, cache, rank=rank, world_size=3) for rank in range(3)]
    shares = [plan.todo for plan in plans]
    assert shares == [sources[0::3], sources[1::3], sources[2::3]]
    assert {plan.num_bytes for plan in plans} == {plans[0].num_bytes}  # of all ranks
    assert [plan.label for plan in plans] == ["flow, 1 of 3", "flow, 2 of 3", "flow, 3 of 3"]
    assert len(extract(plans[1], cache, FLOW, num_workers=0)) == 2
    # What others have kept changes nobody's share.
    assert make_plan(sources, cache, rank=2, world_size=3).todo == shares[2]
    assert make_plan(sources, cache, rank=2, world_size=3).num_missing == 5


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, (3, 4)),
    ],
)
def test_share_of_work(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert share_of_work(environment) == expected


@pytest.mark.parametrize(
    ("rank", "world_size"),
    [("2", "2"), ("-1", "2"), ("x", "2"), (None, "2"), ("0", None)],
)
def test_bad_share_of_work(rank: str | None, world_size: str | None) -> None:
    environment = {"RANK": rank, "WORLD_SIZE": world_size}
    environment = {name: value for name, value in environment.items() if value is not None}
    message = f"environment: found RANK {rank} and WORLD_SIZE {world_size}; expected 0 <= RANK < WO"
    with pytest.raises(ValueError, match=message):
        share_of_work(environment)


@pytest.mark.parametrize("num_counted", [1000, 3])
def test_estimate_is_near_what_is_written(cache, sources, monkeypatch, num_counted: int) -> None:
    monkeypatch.setattr(extraction, "_COUNTED", num_counted)
    plan = make_plan(sources, cache)
    extract(plan, cache, FLOW, num_workers=0)
    written = sum(path.stat().st_size for path in cache.folder.glob("*.safetensors"))
    assert written < plan.num_bytes < 1.3 * written


def test_estimate_decodes_nothing(tmp_path: Path, cache: FlowCache, sources, monkeypatch) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
    for level in range(9):
        writer.write(np.full((32, 32, 3), 20 * level, np.uint8))
    writer.release()
    monkeypatch.setattr(VideoSource, "frames", lambda self: pytest.fail("decoded"))
    video = VideoSource(path)
    assert video.estimated_frames() == 9 and replace(video, start=4).estimated_frames() == 5
    assert replace(video, start=4, end=6).estimated_frames() == 2
    missing = VideoSource(tmp_path / "gone.mp4")
    rendered = SyntheticSource("a", ("MOTHER",), "statement", 0, (0, 0))
    plan = make_plan([video, sources[0], rendered, missing], cache)
    num_frames = 9 + 2 + rendered.num_frames()
    assert plan.num_bytes == flow_bytes(num_frames, 32) + 4 * 4096 and len(plan.todo) == 4


def test_a_disk_that_is_too_small(cache: FlowCache, sources, monkeypatch) -> None:
    plan, usage = make_plan(sources, cache), namedtuple("usage", "total used free")
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: usage(9e9, 8e9, 1.5e9))
    sentence = plan.check_space(cache)
    assert sentence == f"{cache.folder} needs about 172 kB for the flow of 7 clips; 1.5 GB are free"
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: usage(9e9, 9e9, 120_000))
    message = "cache: found 120 kB of free space; expected about 172 kB for the flow of 7 clips"
    with pytest.raises(DataError, match=message):
        plan.check_space(cache)


def test_a_disk_that_fills_stops_all_and_keeps_what_is_whole(cache, sources, monkeypatch) -> None:
    """It is no fault of the clip: nothing is left out."""
    real = Path.write_bytes

    def write_bytes(self: Path, content: bytes) -> int:
        if len(kept(cache)) < 3:
            return real(self, content)
        real(self, content[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    problems: list[DataError] = []
    with pytest.raises(OSError, match="could not write the flow: No space left on device"):
        extract(make_plan(sources, cache), cache, FLOW, num_workers=0, on_error=problems.append)
    assert not problems and len(list(cache.folder.iterdir())) == 1 + 3
    monkeypatch.undo()
    plan = make_plan(sources, cache)
    assert plan.todo == sources[3:] and extract(plan, cache, FLOW, num_workers=0) == [5, 6, 7, 8]


def test_a_single_clip_is_computed_here_by_all_threads(cache, sources, monkeypatch) -> None:
    threads: list[int] = []

    def flow(*arguments, **options) -> Iterator[torch.Tensor]:
        threads.append(torch.get_num_threads())
        return flow_parts(*arguments, **options)

    monkeypatch.setattr(extraction, "flow_parts", flow)
    assert extract(make_plan(sources[:1], cache), cache, FLOW, num_workers=4) == [2]
    assert threads == [torch.get_num_threads()]


def test_a_clip_too_large_for_the_gpu_is_left_out(cache, sources, monkeypatch) -> None:
    def flow(parts: list[torch.Tensor], **options) -> Iterator[torch.Tensor]:
        if len(parts[0]) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return flow_parts(parts, **options)

    monkeypatch.setattr(extraction, "flow_parts", flow)
    problems: list[DataError] = []
    plan, device = make_plan(sources[:4], cache), torch.device("cpu")
    options = {"num_workers": 0, "device": device, "on_error": problems.append}
    assert extract(plan, cache, FLOW, **options) == [2, 3, 5]
    assert "clip2: found 4 frames of 16x20, for which the memory of cpu" in str(problems[0])


def test_frames_for_the_gpu_go_through_the_pipe(cache, sources, monkeypatch) -> None:
    """A tensor would stay in shared memory, of which there is little."""
    sent: list[int] = []

    def here(work, items, **options) -> Iterator[object]:
        for content in map(work, items):
            sent.append(len(ForkingPickler.dumps(content)))
            yield content

    monkeypatch.setattr(extraction, "in_processes", here)
    plan, device = make_plan(sources[5:], cache), torch.device("cpu")
    assert extract(plan, cache, FLOW, num_workers=0, device=device) == [7, 8]
    assert sent[0] > 7 * 16 * 20 * 3 and sent[1] > 8 * 16 * 20 * 3


def test_bad_clips(tmp_path: Path, cache: FlowCache, sources) -> None:
    (sources[1].path / "1.png").write_bytes(b"")
    for path in sources[2].path.iterdir():
        assert cv2.imwrite(str(path), np.zeros((6, 40, 3), np.uint8))
    mixed = [sources[0], VideoSource(tmp_path / "gone.mp4"), *sources[1:4]]
    with pytest.raises(DataError, match="gone.mp4: found No such file or directory; expected"):
        extract(make_plan(mixed, cache), cache, FLOW, num_workers=0)
    problems: list[DataError] = []
    plan = make_plan(mixed, cache)
    assert (len(plan.todo), plan.num_found) == (4, 1)
    assert extract(plan, cache, FLOW, num_workers=0, on_error=problems.append) == [5]
    messages = [str(problem) for problem in problems]
    assert "gone.mp4: found No such file" in messages[0]
    assert "1.png: found an empty file; expected a whole png" in messages[1]
    assert "clip2: found optical_flow: found frames of 6x40 pixels" in messages[2]
    assert len(messages) == 3 and len(kept(cache)) == 2


def test_flow_that_float16_does_not_hold(cache: FlowCache, sources, monkeypatch) -> None:
    def wild(parts: Iterator[torch.Tensor], **options) -> Iterator[torch.Tensor]:
        yield torch.zeros(1, 2, 32, 32)
        yield torch.full((1, 2, 32, 32), 1e5)

    monkeypatch.setattr(extraction, "flow_parts", wild)
    error = extract_clip(sources[0], cache, FLOW)
    assert "flow of 100000 pixels in frame 1, beyond the 65504" in str(error)
    assert not kept(cache)


@dataclass(frozen=True)
class ChangesMeanwhile(VideoSource):
    """A folder to which a frame is added while it is read."""

    def frames(self) -> Iterator[np.ndarray]:
        yield from super().frames()
        (self.path / "1.png").rename(self.path / "1a.png")


def test_a_source_that_changes_while_it_is_read(cache: FlowCache, sources) -> None:
    changing = ChangesMeanwhile(sources[2].path)
    assert extract_clip(changing, cache, FLOW) == 4
    assert make_plan([sources[2]], cache).todo == [sources[2]]
