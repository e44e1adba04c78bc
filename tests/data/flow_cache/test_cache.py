import json
import logging
import math
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.cached_flow import to_float16
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.crop import Crop
from slt_fast.data.flow_cache import cache as flow_cache
from slt_fast.data.flow_cache.cache import (
    FlowCache,
    cached_rate,
    flow_bytes,
    open_flow_cache,
    with_cached_flow,
)
from slt_fast.data.flow_images import ENCODERS, clip_flow
from slt_fast.data.input import InputConfig
from slt_fast.data.loading import ClipDataset, count_frames, load_images
from slt_fast.data.probes import BlankSource
from slt_fast.data.synthetic import SyntheticSource, corpus
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError, UserError

FLOW = InputConfig(image_size=32, flow_preset="fast", flow_bound=4.0)
RENDERED = SyntheticSource("train-00007", ("MOTHER", "SLEEP"), "statement", 0, (0, 7), (48, 48))


def clip_of(source, glosses=("A",)) -> AnnotatedClip:
    return AnnotatedClip("a", source, "a b", glosses, None, "train", "list:1")


def write_frames(folder: Path, num_frames: int = 5) -> VideoSource:
    folder.mkdir(parents=True)
    for number, frame in enumerate(RENDERED.read()[:num_frames]):
        assert cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
    return VideoSource(folder)


def write_video(path: Path, num_frames: int = 5) -> VideoSource:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (48, 48))
    for frame in RENDERED.read()[:num_frames]:
        writer.write(frame[..., ::-1].copy())
    writer.release()
    return VideoSource(path)


def flow_of(source) -> torch.Tensor:
    frames = torch.from_numpy(source.read())
    return clip_flow(frames, size=(32, 32), preset="fast")


def keep(cache: FlowCache, source) -> Path:
    cache.write(cache.identity(source), to_float16(flow_of(source)))
    return cache.find(source).path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path, data: Path) -> FlowCache:
    return open_flow_cache(tmp_path / "cache", FLOW, data, create=True)


def test_what_is_kept_is_found_as_float16(cache: FlowCache, data: Path) -> None:
    for source in (write_frames(data / "a"), write_video(data / "a.avi"), RENDERED):
        keep(pickle.loads(pickle.dumps(cache)), source)
        found, expected = cache.find(source), flow_of(source)
        assert found.num_frames == len(expected) == source.num_frames()
        flow = found.read()
        assert flow.dtype == torch.float16 and not flow[0].any() and flow[1:].any()
        assert torch.equal(flow, expected.half())
        torch.testing.assert_close(flow.float(), expected, rtol=2**-11, atol=1e-6)
    assert {path.name[:12] for path in cache.folder.iterdir()} == {
        "cache.json",
        f"a-{cache.find(VideoSource(data / 'a')).path.name[2:12]}",
        f"a.avi-{cache.find(VideoSource(data / 'a.avi')).path.name[6:12]}",
        "train-00007-",
    }


@pytest.mark.parametrize("encoder", ENCODERS)
def test_images_are_those_computed_on_the_fly(cache: FlowCache, data: Path, encoder: str) -> None:
    config = replace(FLOW, flow_encoder=encoder, flow_bound=2.0)
    computed = clip_of(write_frames(data / "a"))
    keep(cache, computed.source)
    (cached,) = with_cached_flow([computed], cache)
    first, second = (load_images(clip, config) for clip in (computed, cached))
    assert first.dtype == second.dtype == torch.float16
    torch.testing.assert_close(first, second, rtol=0, atol=2e-3)
    assert not torch.equal(first[0], first[2])


def test_frames_are_neither_read_nor_counted(cache: FlowCache, data: Path, monkeypatch) -> None:
    clip = clip_of(write_frames(data / "a"))
    keep(cache, clip.source)
    clips = with_cached_flow([clip], cache)
    expected = load_images(clip, FLOW)
    for name in ("read", "num_frames"):
        monkeypatch.setattr(VideoSource, name, lambda self: pytest.fail("the frames were read"))
    maker = BatchMaker(Vocabularies.build(clips), FLOW)
    (batch,) = batches(ClipDataset(clips), maker, [[0]])
    torch.testing.assert_close(batch.images, expected.float(), rtol=0, atol=2e-3)
    assert batch.lengths.tolist() == [5] and count_frames(clips[0]) == 5
    tight = replace(clips[0], glosses=("A", "B") * 3)
    message = "found 5 frames in clip 'a'; expected at least 6, as CTC"
    assert message in str(count_frames(tight))
    with pytest.raises(DataError, match=message):
        ClipDataset([tight])[0]


def test_parts_of_a_video_are_clips_of_their_own(cache: FlowCache, data: Path) -> None:
    whole = write_video(data / "a.avi", 6)
    parts = [whole, replace(whole, end=3), replace(whole, start=3), replace(whole, start=2, end=5)]
    assert len({keep(cache, part) for part in parts}) == 4
    assert [cache.find(part).num_frames for part in parts] == [6, 3, 3, 3]
    assert cache.find(replace(whole, start=0)) == cache.find(whole)


def test_a_crop_box_is_a_clip_of_its_own(cache: FlowCache, data: Path) -> None:
    whole = write_video(data / "a.avi", 6)
    kept = keep(cache, whole)
    crop, other = (replace(whole, crop=Crop(x, 0, 32, 32)) for x in (0, 1))
    with pytest.raises(DataError):
        cache.find(crop)
    paths = {keep(cache, crop), kept}
    with pytest.raises(DataError):
        cache.find(other)
    assert len(paths | {keep(cache, other)}) == 3
    assert torch.equal(cache.find(crop).read(), flow_of(crop).half())
    assert cache.find(whole).path == kept  # as caches were before there were crop boxes


def test_the_data_set_may_move(cache: FlowCache, data: Path, monkeypatch) -> None:
    video = write_video(data / "a.avi")
    kept = [keep(cache, source) for source in (write_frames(data / "b" / "a"), video)]
    moved = replace(cache, data_root=data.rename(data.with_name("moved")))
    os.utime(moved.data_root / "b" / "a" / "0.png", (1, 1))  # as a plain copy does
    sources = [VideoSource(moved.data_root / name) for name in ("b/a", "b/../a.avi")]
    assert [moved.find(source).path for source in sources] == kept
    monkeypatch.chdir(moved.data_root.parent)
    relative = replace(moved, data_root=Path("moved"))
    assert relative.find(VideoSource(Path("moved/a.avi"))).path == kept[1]


def test_a_cache_of_no_frame_rate_is_refused(cache: FlowCache) -> None:
    path = cache.folder / "cache.json"
    path.write_text(path.read_text().replace('"native"', "0"))
    with pytest.raises(UserError, match=r"cache\.json: fps: found 0; expected 1 to 1000"):
        cached_rate(cache.folder)


def test_flow_of_another_decoder_is_not_found(cache: FlowCache, data: Path) -> None:
    video = write_video(data / "a.avi")
    identity = cache.identity(video)
    state = {name: identity.state[name] for name in ("bytes", "modified")}  # as of version 0.1
    cache.write(replace(identity, state=state), torch.zeros(2, 2, 32, 32).half())
    with pytest.raises(DataError, match=r"a\.avi with state .*; expected .*\"decoder\": \"pyav\""):
        cache.find(video)


def test_a_changed_source_is_noticed(cache: FlowCache, data: Path, monkeypatch) -> None:
    folder, video = write_frames(data / "a"), write_video(data / "a.avi")
    keep(cache, folder), keep(cache, video), keep(cache, RENDERED)
    os.utime(video.path, (1000, 1000))
    with pytest.raises(DataError, match=r"found flow of .*a\.avi with state .*expected .*1000}"):
        cache.find(video)
    frame = (folder.path / "2.png").read_bytes()
    (folder.path / "2.png").write_bytes(frame + b"\0")
    with pytest.raises(DataError, match="found flow of .*a with state .*frames.*; expected"):
        cache.find(folder)
    (folder.path / "2.png").write_bytes(frame)
    assert cache.find(folder)
    (folder.path / "2.png").rename(folder.path / "2a.png")
    with pytest.raises(DataError, match="with state"):
        cache.find(folder)
    keep(cache, folder)  # replaces the old one
    assert cache.find(folder) and len(list(cache.folder.glob("a-*"))) == 1
    monkeypatch.setattr(corpus, "RENDERING", "9")
    with pytest.raises(DataError, match='train-00007 with state .*; expected .*slt_fast": "9"'):
        cache.find(RENDERED)


def test_sources_of_other_kinds_are_not_kept(cache: FlowCache, data: Path) -> None:
    """A probe in particular: its frames are not those of the clip that it changes."""
    source = write_frames(data / "a")
    keep(cache, source)
    with pytest.raises(DataError, match="a: found a BlankSource; expected a video, a frame folder"):
        cache.find(BlankSource(source))
    (clip,) = with_cached_flow([clip_of(BlankSource(source))], cache)
    assert clip.cached_flow is None and load_images(clip, FLOW)[1:, :2].float().std() < 1e-3


def test_clips_that_are_not_there_are_computed_and_told_once(
    cache: FlowCache, data: Path, caplog
) -> None:
    sources = [write_frames(data / "a"), write_frames(data / "b"), VideoSource(data / "gone.mp4")]
    keep(cache, sources[0])
    clips = [clip_of(source) for source in sources]
    found = with_cached_flow(clips, cache)
    assert [clip.cached_flow is None for clip in found] == [False, True, True]
    (record,) = caplog.records
    message = record.getMessage()
    assert f"flow cache {cache.folder}: found the flow of 1 of 3 clips (first problem: " in message
    assert "b-" in message and f"found no such file; expected the flow of {data / 'b'}" in message
    assert torch.equal(load_images(found[1], FLOW), load_images(clips[1], FLOW))
    with pytest.raises(DataError, match="gone.mp4: found no such file; expected a video"):
        load_images(found[2], FLOW)
    with caplog.at_level(logging.INFO):
        with_cached_flow(clips[:1], cache)
    assert caplog.records[-1].getMessage().endswith("found the flow of all 1 clips")


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        ({"flow_preset": "default"}, "preset 'fast'", "preset 'default'"),
        ({"image_size": 40}, "flow with image_size 32", "image_size 40, as asked for"),
    ],
)
def test_other_flow_is_refused(cache: FlowCache, data: Path, change, found, expected) -> None:
    for create in (True, False):
        with pytest.raises(DataError) as caught:
            open_flow_cache(cache.folder, replace(FLOW, **change), data, create=create)
        left, right = str(caught.value).split("; expected ")
        assert left.startswith(f"{cache.folder / 'cache.json'}: found flow with ")
        assert found in left and expected in right
    assert open_flow_cache(cache.folder, FLOW, data) == cache
    other = replace(FLOW, flow_encoder="hsv", flow_bound=1.0)
    assert open_flow_cache(cache.folder, other, data) == cache


def test_another_version_of_the_algorithm_is_refused(cache: FlowCache, data, monkeypatch) -> None:
    changed = {**cache.flow, "version": "0.1"}
    monkeypatch.setattr(InputConfig, "parameters", lambda self: changed)
    with pytest.raises(DataError) as caught:
        open_flow_cache(cache.folder, FLOW, data)
    versions = f"found flow with version {cache.flow['version']!r}; expected version '0.1', as ask"
    assert versions in str(caught.value)


def test_files_of_another_cache_are_refused(cache: FlowCache, data: Path, tmp_path: Path) -> None:
    source = write_frames(data / "a")
    path = keep(cache, source)
    other = replace(FLOW, flow_preset="opencv_fast")
    mixed = open_flow_cache(tmp_path / "other", other, data, create=True)
    path.rename(mixed.path(source))
    with pytest.raises(DataError, match="a with flow .*'?fast.*; expected .*opencv_fast"):
        mixed.find(source)


def test_folders_that_are_no_cache(cache: FlowCache, data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: found no such folder; expected a flow cache with"):
        open_flow_cache(tmp_path / "gone", FLOW, data)
    with pytest.raises(DataError, match="data: found none; expected a flow cache with its cache"):
        open_flow_cache(data, FLOW, data)
    write_frames(data / "a")
    with pytest.raises(DataError, match=r"data: found 1 files but no cache\.json; expected a flow"):
        open_flow_cache(data, FLOW, data, create=True)
    with pytest.raises(ValueError, match="flow cache: found input 'rgb'; expected 'flow'"):
        open_flow_cache(cache.folder, replace(FLOW, input="rgb"), data)
    path = cache.folder / "cache.json"
    for text, message in (("{", "expected a JSON file"), ('{"flow": 1}', "found flow 1; expected")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            open_flow_cache(cache.folder, FLOW, data)


def corrupted(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "longer":
        path.write_bytes(content + b"\0")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "shape":
        with safe_open(path, "pt") as file:
            flow, header = file.get_tensor("flow"), file.metadata()
        save_file({"flow": flow[:, :1].clone()}, path, header)
    elif how == "type":
        with safe_open(path, "pt") as file:
            flow, header = file.get_tensor("flow"), file.metadata()
        save_file({"flow": flow.float()}, path, header)
    elif how == "tensor":
        save_file({"colours": torch.zeros(1)}, path)
    elif how == "header":
        save_file({"flow": torch.zeros(5, 2, 32, 32).half()}, path)


@pytest.mark.parametrize("how", ["cut", "longer", "empty", "shape", "type", "tensor", "header"])
def test_a_corrupt_file_is_not_used(cache: FlowCache, data: Path, caplog, how: str) -> None:
    clip = clip_of(write_frames(data / "a"))
    path = keep(cache, clip.source)
    corrupted(path, how)
    with pytest.raises(DataError, match=rf"{path.name}: found .*; expected "):
        cache.find(clip.source)
    (found,) = with_cached_flow([clip], cache)
    assert found.cached_flow is None and path.name in caplog.text


def test_a_file_damaged_later_is_an_error_of_its_clip(cache: FlowCache, data: Path) -> None:
    clip = clip_of(write_frames(data / "a"))
    path = keep(cache, clip.source)
    (clip,) = with_cached_flow([clip], cache)
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_images(clip, FLOW)
    message = "found damaged flow; expected the checksum that was written with it"
    advice = " (delete the file and run slt-extract-flow again)"
    assert str(caught.value) == f"{path}: {message}{advice}"
    path.write_bytes(content[:-5000])
    with pytest.raises(DataError, match=f"a whole safetensors file of flow{re.escape(advice)}$"):
        load_images(clip, FLOW)
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: found "):
        load_images(clip, FLOW)


@pytest.mark.parametrize("value", [7e4, -7e4, float("nan"), float("inf")])
def test_motion_that_float16_does_not_hold(value: float) -> None:
    flow = torch.full((3, 2, 4, 4), 65504.0)
    assert torch.equal(to_float16(flow).float(), flow)
    flow[2, 1, 0, 3] = value
    with pytest.raises(ValueError, match=rf"flow of {value:g} pixels in frame 2") as caught:
        to_float16(flow)
    assert isinstance(caught.value, UserError) == math.isfinite(value)


def test_a_full_disk_leaves_no_half_file(cache: FlowCache, data: Path, monkeypatch) -> None:
    source = write_frames(data / "a")
    path, before = keep(cache, source), flow_of(source).half().float()

    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for target in (source, RENDERED):
        zeros = torch.zeros(5, 2, 32, 32, dtype=torch.float16)
        message = r"safetensors: could not write the flow: No space left on device"
        with pytest.raises(OSError, match=message):
            cache.write(cache.identity(target), zeros)
    assert sorted(os.listdir(cache.folder)) == sorted(["cache.json", path.name])
    assert torch.equal(cache.find(source).read(), before)


def test_names_of_files_are_tame(cache: FlowCache, data: Path) -> None:
    names = ["..hidden", "täglich/größe 1", "x" * 200, "a\nb", "-rf"]
    paths = [keep(cache, write_frames(data / name, 2)).name for name in names]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert len(path) < 120 and path.isascii() and path.isprintable() and path[0] not in ".-"


def test_the_description_names_the_flow(cache: FlowCache) -> None:
    found = json.loads((cache.folder / flow_cache.DESCRIPTION).read_text())
    assert found["flow"] == FLOW.parameters() and found["image_size"] == 32
    assert found.keys() == {"slt_fast", "flow", "image_size", "fps"} and found["fps"] == "native"
    source = RENDERED
    num_bytes = keep(cache, source).stat().st_size
    assert 0 < num_bytes - flow_bytes(source.num_frames(), 32) < 2000
