"""The README.md of an exported model."""

from __future__ import annotations

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.vocabulary import BOS
from slt_fast.ops.optical_flow.presets import OPENCV_PRESETS, RAFT_PRESETS
from slt_fast.version import __version__

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

Inputs of the encoder:

- `images`: float32 [T, 3, {size}, {size}] in [0, 1].

Outputs of the encoder:

- `memory`: float32 [1, N, {width}]{glosses}

Inputs of the decoder, which is called once for each token:

- `tokens`: int64 [K, S]; each row begins with {begin}.
- `rows`: int64 [K]: which sequence of the call before each of them continues.
- `memory`: as the encoder returned it.
- `past`: float32 [{layers}, 2, K, {heads}, S - 1, {head_width}], the `next_past` of the call
  before; in the first call it has no element, as S is 1.

Outputs of the decoder:

- `logits`: float32 [K, {words}] of the token after each sequence.
- `next_past`: keys and values of all S tokens.

tokens.json has the names of the tokens, search.json the settings of the search.

## Images

{images}
"""

_FLOW = """\
The images are the optical flow from each frame to the next at {rate}, as slt_fast
computes it with preset `{preset}`; the first image shows zero flow. Flow is scaled to pixels of
{size}x{size} images, divided by {bound:g} and drawn as `{encoder}`. The flow is not in the graph.
{opencv}

With slt_fast installed you get the images that the model was trained on:

```python
import numpy
import torch

from slt_fast.data.flow_images import flow_images

frames = torch.from_numpy(rgb)  # uint8 [T, H, W, 3]

settings = {{"bound": {bound:g}, "encoder": "{encoder}", "preset": "{preset}"}}
images = flow_images(frames, size=({size}, {size}), **settings)
numpy.save("images.npy", images.numpy())
```
"""

_RGB = """\
The images are the RGB frames at {rate}, resized to {size}x{size} pixels and divided by 255.
"""


_GLOSSES = """.
- `gloss_logits`: float32 [T, {number}]; token 0 is the blank of CTC."""

_OPENCV = """`images.py` computes OpenCV's DIS flow with the settings that come closest, but they
are not equal, and the model translates worse with them."""

_SAME_OPENCV = """`images.py` computes it by OpenCV as well, but resizes it differently, so
translations may differ."""

_NO_OPENCV = """OpenCV has nothing that comes close, so `images.py` refuses it."""


def readme_of(trained: TrainedModel) -> str:
    """Returns the text of README.md."""
    model, config = trained.recipe.model, trained.recipe.input
    glosses = "."
    if trained.recognises_glosses:
        glosses = _GLOSSES.format(number=len(trained.vocabularies.gloss))
    return _TEXT.format(
        version=__version__,
        size=config.image_size,
        width=model.width,
        glosses=glosses,
        begin=BOS,
        layers=model.decoder_layers,
        heads=model.decoder_heads,
        head_width=model.width // model.decoder_heads,
        words=len(trained.vocabularies.text),
        images=_images(trained),
    )


def _images(trained: TrainedModel) -> str:
    config, rate = trained.recipe.input, trained.trained_on.fps
    at_rate = "the rate of the video" if rate == "native" else f"{rate:g} frames a second"
    if config.input == "rgb":
        return _RGB.format(rate=at_rate, size=config.image_size)
    preset, opencv = config.flow_preset, _OPENCV
    if preset in OPENCV_PRESETS:
        opencv = _SAME_OPENCV
    if preset in RAFT_PRESETS or config.flow_encoder != "uvm":
        opencv = _NO_OPENCV
    return _FLOW.format(
        rate=at_rate,
        preset=preset,
        size=config.image_size,
        bound=config.flow_bound,
        encoder=config.flow_encoder,
        opencv=opencv,
    )
