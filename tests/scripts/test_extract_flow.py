import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import cv2
import pytest

from slt_fast.data.cached_flow import CachedFlow
from slt_fast.data.flow_cache import extraction
from slt_fast.data.flow_cache.cache import cached_rate, open_flow_cache
from slt_fast.data.frame_source import with_rate
from slt_fast.data.input import InputConfig
from slt_fast.data.sources import read_videos
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import NUM_CLIPS
from slt_fast.data.video.source import VideoSource
from slt_fast.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "extract_flow.py"
FLOW = InputConfig(image_size=32, flow_preset="fast")
OPTIONS = ["--size", 32, "--preset", "fast", "--workers", 0]


def flow_of(data: object, output: Path) -> dict[str, CachedFlow]:
    """The flow of each clip, by the name of its source; all of it there and whole."""
    root, sources = read_videos(str(data))
    fps = cached_rate(output)
    cache = open_flow_cache(output, FLOW, root, fps=fps)
    found = {source.name: cache.find(with_rate(source, fps)) for source in sources}
    for flow in found.values():
        assert len(flow.read()) == flow.num_frames
    return found


def num_files(output: Path) -> int:
    return len(list(output.glob("*.safetensors")))


def test_a_manifest_and_again(run_script, manifest: Path, tmp_path: Path) -> None:
    finished = run_script("extract_flow.py", manifest, "--output", tmp_path / "flow", *OPTIONS)
    assert finished.status == 0, finished.err
    found = flow_of(manifest, tmp_path / "flow")
    frames = [flow.num_frames for flow in found.values()]
    summary, hint = finished.out.splitlines()
    assert summary.startswith(f"flow: computed 2 clips with {sum(frames)} frames (")
    assert summary.endswith("found 0 there, left out 0")
    options = f"--flow-cache {tmp_path / 'flow'} --flow-preset fast --image-size 32"
    assert hint == f"to train on it: {options}"
    again = run_script(
        "extract_flow.py", f"manifest:{manifest}", "--output", tmp_path / "flow", *OPTIONS
    )
    assert again.status == 0 and "computed 0 clips with 0 frames" in again.out
    assert "found 2 there, left out 0" in again.out


def test_disk_use_is_told_beforehand(run_script, manifest, tmp_path, caplog, monkeypatch) -> None:
    output = tmp_path / "flow"
    options = ["extract_flow.py", manifest.parent, "--output", output, *OPTIONS]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: usage(9e9, 9e9, 100_000))
    refused = run_script(*options)
    assert refused.status == 1 and num_files(output) == 0
    assert f"error: {output}: found 100 kB of free space; expected about " in refused.err
    monkeypatch.undo()
    with caplog.at_level("INFO"):
        assert run_script(*options).status == 0
    assert f"{output} needs about " in caplog.text and " for the flow of 2 clips; " in caplog.text


@pytest.mark.parametrize("name", ["first.mp4", "second", "."])
def test_plain_videos(run_script, manifest: Path, tmp_path: Path, name: str) -> None:
    place = manifest.parent / name
    finished = run_script("extract_flow.py", place, "--output", tmp_path / "flow", *OPTIONS)
    assert finished.status == 0, finished.err
    assert len(flow_of(place, tmp_path / "flow")) == (2 if name == "." else 1)
    # Their names are those of a manifest in the same folder.
    fps = cached_rate(tmp_path / "flow")
    cache = open_flow_cache(tmp_path / "flow", FLOW, manifest.parent, fps=fps)
    _, sources = read_videos(str(manifest))
    paths = [cache.path(with_rate(source, fps)) for source in sources]
    assert sum(path.exists() for path in paths) == (2 if name == "." else 1)


def test_real_videos(run_script, shared_data: Path, tmp_path: Path) -> None:
    manifest = shared_data / "clips" / "manifest.csv"
    text = manifest.read_text().splitlines()
    (tmp_path / "clips").symlink_to(manifest.parent)
    row = next(line for line in text if line.startswith("lsat1,")).replace("lsat/", "clips/lsat/")
    (tmp_path / "manifest.csv").write_text(f"{text[0]}\n{row}\n")
    where = [tmp_path / "manifest.csv", "--output", tmp_path / "flow"]
    finished = run_script("extract_flow.py", *where, *OPTIONS)
    assert finished.status == 0, finished.err
    (flow,) = flow_of(tmp_path / "manifest.csv", tmp_path / "flow").values()
    assert flow.num_frames > 5 and flow.read()[1:].abs().max() > 0.1


def test_phoenix_in_its_layout_split_by_split(run_script, shared_data, tmp_path: Path) -> None:
    folder = shared_data / "phoenix14t" / "annotations" / "manual"
    data, output = tmp_path / "data", tmp_path / "flow"
    for split in ("dev", "test"):
        annotations = folder / f"PHOENIX-2014-T.{split}.corpus.csv"
        size = ["--width", 40, "--height", 48, "--limit", 1]
        render = ["render_synthetic.py", "--annotations", annotations, "--output", data, *size]
        assert run_script(*render).status == 0
    options = ["extract_flow.py", f"phoenix14t:{data}", "--output", output, *OPTIONS]
    assert run_script(*options, "--splits", "test").status == 0 and num_files(output) == 1
    assert run_script(*options).status == 0
    assert len(flow_of(f"phoenix14t:{data}", output)) == 2


def test_splits_do_not_swallow_the_source(run_script, manifest: Path, tmp_path: Path) -> None:
    options = ["--output", tmp_path / "flow", "--preset", "fast", "--size", 32, "--workers", 0]
    finished = run_script("extract_flow.py", *options, "--splits", "train", manifest)
    assert finished.status == 0, finished.err
    missing = run_script("extract_flow.py", *options)
    assert missing.status and "source: found none" in " ".join((missing.out + missing.err).split())


def test_synthetic_corpus(run_script, tmp_path: Path, monkeypatch) -> None:
    for split in NUM_CLIPS:
        monkeypatch.setitem(NUM_CLIPS, split, 1)
    finished = run_script("extract_flow.py", "synthetic", "--output", tmp_path / "flow", *OPTIONS)
    assert finished.status == 0, finished.err
    assert len(flow_of("synthetic", tmp_path / "flow")) == 4


@pytest.fixture
def bad_manifest(manifest: Path, tmp_path: Path) -> Path:
    shutil.copytree(manifest.parent, tmp_path / "clips")
    path = tmp_path / "clips" / "manifest.csv"
    rows = ["gone,gone.mp4,,x,train", "cut,cut.mp4,,x,dev"]
    path.write_text(path.read_text() + "\n".join(rows) + "\n")
    content = (path.parent / "first.mp4").read_bytes()
    (path.parent / "cut.mp4").write_bytes(content[: len(content) // 2])
    return path


def test_bad_clips(run_script, bad_manifest: Path, tmp_path: Path, caplog) -> None:
    options = ["extract_flow.py", bad_manifest, "--output", tmp_path / "flow", *OPTIONS]
    stopped = run_script(*options)
    assert stopped.status == 1
    assert "manifest.csv:4: found video 'gone.mp4', which does not exist; exp" in stopped.err
    bad_manifest.write_text(bad_manifest.read_text().replace("gone.mp4", "first.mp4"))
    stopped = run_script(*options)
    assert stopped.status == 1
    assert f"error: {bad_manifest.parent / 'cut.mp4'}: found " in stopped.err
    assert "bytes; expected " in stopped.err and num_files(tmp_path / "flow") == 2
    bad_manifest.write_text(bad_manifest.read_text().replace("gone,first.mp4", "gone,gone.mp4"))
    finished = run_script(*options, "--skip-bad")
    assert finished.status == 0, finished.err
    listed = [line for line in caplog.messages if line.startswith("left out: ")]
    assert len(listed) == 2 and "gone.mp4" in listed[0] and "cut.mp4: found " in listed[1]
    assert "computed 0 clips with 0 frames" in finished.out
    assert "found 2 there, left out 2" in finished.out
    bad_manifest.write_text("id,video,text\ngone,other.mp4,x\n")
    failed = run_script(*options, "--skip-bad")
    assert failed.status == 1 and "found no usable clip; expected at least one" in failed.err
    assert "manifest.csv:2: found video 'other.mp4', which does not" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--preset", "x"], 1, "flow_preset: found 'x'; expected one of"),
        (["--backend", "x"], 1, "found backend 'x'; expected one of"),
        (["--size", "8"], 1, "image_size: found 8; expected at least 32"),
        (["--device", "gpu"], 1, "device: found 'gpu'; expected auto or one"),
        (["--fps", "0"], 2, "fps: found 0.0; expected 1 to 1000"),
        (["--workers", "-1"], 2, "workers: found -1; expected 0 or more"),
        (["--splits", "valid"], 1, "found no split 'valid'; expected one of train"),
        (["--flavour", "vanilla"], 2, "--flavour"),
    ],
)
def test_bad_options(run_script, manifest, tmp_path, options, status: int, message: str) -> None:
    output = tmp_path / "flow"
    finished = run_script("extract_flow.py", manifest, "--output", output, *OPTIONS, *options)
    assert finished.status == status
    assert message in " ".join((finished.out + finished.err).split())
    assert not output.exists()


def test_other_flow_in_the_folder(run_script, manifest: Path, tmp_path: Path) -> None:
    open_flow_cache(tmp_path / "flow", FLOW, tmp_path, create=True)
    options = ["extract_flow.py", manifest, "--output", tmp_path / "flow", *OPTIONS]
    refused = run_script(*options, "--size", 40)
    assert refused.status == 1
    message = "cache.json: found flow with image_size 32; expected image_size 40, as asked for"
    assert message in refused.err
    refused = run_script("extract_flow.py", manifest, "--output", manifest.parent, *OPTIONS)
    assert refused.status == 1 and "but no cache.json; expected a flow cache, or an" in refused.err


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 40 clips of 6 frames."""
    frames = read_synthetic("test", num_clips=1)[0].source.read()[:6]
    for number in range(40):
        folder = tmp_path / "many" / f"clip{number}"
        folder.mkdir(parents=True)
        for index, frame in enumerate(frames):
            assert cv2.imwrite(str(folder / f"{index}.png"), frame[..., ::-1])
    return tmp_path / "many"


def start(source: Path, output: Path, **environment: str) -> subprocess.Popen:
    arguments = map(str, [SCRIPT, source, "--output", output, *OPTIONS])
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.slow
def test_killed_and_resumed_by_two_ranks(
    run_script, many: Path, tmp_path: Path, monkeypatch
) -> None:
    """kill -9 leaves only whole files; two ranks then compute all others, each of them once."""
    output = tmp_path / "flow"
    process = start(many, output)
    try:
        while process.poll() is None and num_files(output) < 5:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.01))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    root, sources = read_videos(str(many))
    cache = open_flow_cache(output, FLOW, root)
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("*.safetensors")}
    assert 5 <= len(before) < 40
    for source in sources:
        if cache.path(source).exists():
            assert len(cache.find(source).read()) == 6
        else:
            with pytest.raises(DataError, match="no such file"):
                cache.find(source)
    other = start(many, output, RANK="1", WORLD_SIZE="2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    ours = run_script("extract_flow.py", many, "--output", output, *OPTIONS, "--workers", 1)
    printed = [ours.out, other.communicate()[0]]
    assert (ours.status, other.returncode) == (0, 0), ours.err
    assert len(flow_of(many, output)) == num_files(output) == 40
    computed = [int(text.split("computed ")[1].split()[0]) for text in printed]
    assert sum(computed) == 40 - len(before) and printed[1].startswith("flow, 2 of 2: ")
    for name, changed in before.items():
        assert (output / name).stat().st_mtime_ns == changed


def test_bad_ranks(run_script, manifest: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = run_script("extract_flow.py", manifest, "--output", tmp_path / "flow", *OPTIONS)
    assert refused.status == 1 and "found RANK 2 and WORLD_SIZE 2; expected 0 <= R" in refused.err


def test_training_and_scoring_from_the_cache(
    run_script,
    manifest,
    tiny_options,
    data_options,
    one_thread,
    tmp_path: Path,
    caplog,
    monkeypatch,
) -> None:
    output, where = tmp_path / "flow", ["--output", tmp_path / "run"]
    assert run_script("extract_flow.py", manifest, "--output", output, *OPTIONS).status == 0
    cached = ["--flow-cache", output]
    train = ["train.py", *tiny_options, *data_options, *where, "--epochs", 1, "--no-preload"]
    refused = run_script(*train, *cached, "--flow-preset", "best")
    assert refused.status == 1
    assert "error: " in refused.err and "cache.json: found flow with " in refused.err
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(VideoSource, "frames", lambda self: pytest.fail("frames were read"))
        finished = run_script(*train, *cached)
        assert finished.status == 0, finished.err
        assert caplog.text.count(f"flow cache {output}: found the flow of all 2 clips") == 1
        scored = run_script("evaluate.py", "--checkpoint", tmp_path / "run", *cached)
        assert scored.status == 0, scored.err
        resumed = run_script("train.py", "--resume", *where)  # from the cache, as before
        assert resumed.status == 0, resumed.err
    computed = run_script("evaluate.py", "--checkpoint", tmp_path / "run")
    ours, theirs = json.loads(computed.out), json.loads(scored.out)
    for name in ("train.text", "train.ctc"):  # flow on disk is rounded
        assert ours.pop(name) == pytest.approx(theirs.pop(name), rel=1e-3)
    assert ours == theirs
    shutil.rmtree(output)
    lost = run_script("train.py", "--resume", *where)
    assert lost.status == 1 and f"error: {output}: found no such folder; expected a fl" in lost.err
