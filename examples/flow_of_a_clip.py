"""Computes the optical flow of a video and writes it as an animation in colours.

python examples/flow_of_a_clip.py clip.mp4 flow.webp
"""

import sys
from pathlib import Path

import torch

from slt_fast.data.flow_images import encode_flow
from slt_fast.data.video.source import VideoSource
from slt_fast.ops import optical_flow
from slt_fast.visualize import write_animation

if len(sys.argv) != 3:
    sys.exit(__doc__)
video, output = map(Path, sys.argv[1:])
frames = torch.from_numpy(VideoSource(video).read())  # uint8 [T, H, W, 3]
if torch.cuda.is_available():
    frames = frames.cuda()

flow = optical_flow(frames, preset="default")  # float32 [T-1, 2, H, W], pixels
speed = flow.norm(dim=1).mean(dim=(1, 2))
print(f"{len(flow)} fields; fastest after frame {speed.argmax()}: {speed.max():.2f} pixels a frame")

images = encode_flow(flow, encoder="wheel", bound=8.0)  # [T-1, 3, H, W] in [0, 1]
pictures = (images.movedim(1, -1) * 255).round().byte().cpu().numpy()
write_animation(output, list(pictures))
