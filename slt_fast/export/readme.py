"""The README.md of an exported model."""

from __future__ import annotations

from slt_fast.checkpoint import TrainedModel

_TEXT = """\
# A sign-language translation model

Exported by slt_fast {version}. It runs without that package, in onnxruntime or torch, in float32.

```
pip install numpy onnxruntime opencv-python-headless
python images.py clip.mp4 images.npy
python translate.py images.npy
```

`translate.py` is the complete example: encoder, beam search (`beam_size` 1 in search.json is greedy
search), and glosses by the best path. `images.py` makes the images with OpenCV.

## Graphs

The same for `.onnx` (onnxruntime) and `.pt2` (`torch.export.load(FILE).module()`, which takes the
inputs as keywords). One clip at a time; T frames, K sequences, S tokens so far, N vectors.

| graph | input | output |
| --- | --- | --- |
| encoder | `images` float32 [T, 3, {size}, {size}] in [0, 1] | {outputs} |
| decoder | `tokens` int64 [K, S], each row begins with {begin} | `logits` float32 [K, {words}] of the next token |
| | `rows` int64 [K]: which sequence of the call before each continues | |
| | `memory` of the encoder | |
| | `past` float32 {past} of the call before; S - 1 is 0 at first | `next_past`, with S instead of S - 1 |

tokens.json has the names of the words{glosses}, search.json the settings of the search.

## Images

{images}
"""

_FLOW = """\
The images are the optical flow from each frame to the next at {rate}, made by slt_fast's algorithm,
preset `{preset}`; the first image shows zero flow. Flow is scaled to pixels of {size}x{size} images,
divided by {bound:g} and drawn as `{encoder}`. The flow is not in the graph. `images.py` computes OpenCV's DIS flow
with the settings that come closest, which translates a little worse. With slt_fast installed:

```python
from slt_fast.data.flow_images import flow_images  # frames: uint8 [T, H, W, 3], RGB

images = flow_images(
    frames, size=({size}, {size}), bound={bound:g}, encoder="{encoder}", preset="{preset}"
)
numpy.save("images.npy", images.numpy())
```
"""

_RGB = """\
The images are the RGB frames at {rate}, resized to {size}x{size} pixels and divided by 255.
"""


def readme_of(trained: TrainedModel) -> str:
    """Returns the text of README.md."""
    raise NotImplementedError
