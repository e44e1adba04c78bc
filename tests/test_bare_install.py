"""The operators and layers need torch, triton and numpy only: the extra `slt` brings the rest."""

import subprocess
import sys

import pytest

BLOCKED = """
import sys
extra = "av cv2 simplejpeg torchvision safetensors sacrebleu sentencepiece"
extra += " tensorboard tqdm rich tyro"
for name in extra.split():
    sys.modules[name] = None  # every import of it raises ModuleNotFoundError
"""
FLOW = """
import torch
from slt_fast.ops import optical_flow
frames = torch.zeros(3, 32, 40, 3, dtype=torch.uint8)
assert optical_flow(frames, backend=backend).shape == (2, 2, 32, 40)
"""
ATTENTION = """
import torch
from slt_fast.layers import PixelAttention2d
assert PixelAttention2d(64)(torch.ones(2, 64, 3, 4)).shape == (2, 64, 3, 4)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import slt_fast",
        ATTENTION,
        "backend = 'cpu'" + FLOW,
        "backend = 'reference'" + FLOW,
        "from slt_fast.info import describe; describe()",
    ],
)
def test_operators_run_without_the_extra(code) -> None:
    command = [sys.executable, "-c", BLOCKED + code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
