"""Makes the images of a video for translate.py; needs numpy and OpenCV only.

python images.py clip.mp4 images.npy
python images.py "folder/images%04d.png" images.npy

The optical flow is OpenCV's. Most models are trained on another, and translate worse with this one.
The frames are taken at the rate that the video has.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def read_frames(video: str, rate: float | str) -> list[np.ndarray]:
    """Returns the frames of a video, uint8 [H, W, 3] BGR; says if it has another rate."""
    capture, frames = cv2.VideoCapture(video), []
    found = capture.get(cv2.CAP_PROP_FPS)
    while True:
        is_frame, frame = capture.read()
        if not is_frame:
            break
        frames.append(frame)
    if not frames:
        sys.exit(f"{video}: found no frames; expected a video that OpenCV decodes")
    is_known = "%" not in video and not isinstance(rate, str)
    if is_known and abs(found - float(rate)) > 0.01 * float(rate):
        expected = f"expected {rate:g}, as the model was trained on"
        print(f"{video}: found {found:g} frames a second; {expected}", file=sys.stderr)
    return frames


def rgb_images(frames: list[np.ndarray], size: int) -> np.ndarray:
    """Returns float32 [T, 3, size, size] in [0, 1]."""
    resized = [cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(resized)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255


def flow_images(frames: list[np.ndarray], facts: dict[str, Any]) -> np.ndarray:
    """Returns float32 [T, 3, size, size] in [0, 1]: u, v and magnitude; the first has no motion."""
    settings, size = facts["opencv"], facts["image_size"]
    if settings is None or facts["flow_encoder"] != "uvm":
        found = f"found flow {facts['flow']['preset']} as {facts['flow_encoder']}"
        sys.exit(f"preprocessing.json: {found}; expected uvm, and a preset that OpenCV is close to")
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setPatchStride(settings["patch_stride"])
    dis.setGradientDescentIterations(settings["descent_iterations"])
    dis.setVariationalRefinementIterations(settings["refinement_iterations"])
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    H, W = grey[0].shape
    no_start: Any = None
    flow = np.zeros((len(grey), size, size, 2), np.float32)
    for t in range(1, len(grey)):
        dis.setFinestScale(settings["finest_scale"])  # calc may overwrite it
        pair = dis.calc(grey[t - 1], grey[t], no_start)
        # Motion in pixels of the images, not of the frames.
        flow[t] = cv2.resize(pair, (size, size), interpolation=cv2.INTER_AREA)
        flow[t] *= (size / W, size / H)
    flow = flow.transpose(0, 3, 1, 2) / facts["flow_bound"]
    magnitude = np.hypot(flow[:, :1], flow[:, 1:]).clip(max=1)
    return np.concatenate([0.5 + 0.5 * flow.clip(-1, 1), magnitude], axis=1).astype(np.float32)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    place = Path(__file__).resolve().parent / "preprocessing.json"
    facts = json.loads(place.read_text(encoding="utf-8"))
    frames = read_frames(sys.argv[1], facts["frames_per_second"])
    if facts["input"] == "rgb":
        images = rgb_images(frames, facts["image_size"])
    else:
        images = flow_images(frames, facts)
    np.save(sys.argv[2], images)


if __name__ == "__main__":
    main()
