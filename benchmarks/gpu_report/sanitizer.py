"""Runs compute-sanitizer over all kernels at tiny sizes.

`python -m benchmarks.gpu_report.sanitizer` runs the kernels; `run` runs that under a tool.
"""

import re
import shutil
import sys

import torch

from benchmarks import parity
from benchmarks.cases import OPERATORS, Case, make_inputs, moving_clip
from benchmarks.jobs import run_command
from benchmarks.peers import ours
from slt_fast.ops import optical_flow, pixel_attention
from slt_fast.ops.extension import cuda_refusal
from slt_fast.ops.optical_flow import rgb_to_grey


def run(tool: str, device: str, deadline: float) -> dict:
    """Runs the kernels under a tool of compute-sanitizer until a deadline of time.monotonic.

    "passed" is None without the tool, and in a report of the CPU; "detail" is its summary.
    """
    if device == "cpu":
        return {"passed": None, "detail": "compute-sanitizer is for kernels on a GPU"}
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"passed": None, "detail": "compute-sanitizer is not on the PATH"}
    command = [program, "--tool", tool, "--error-exitcode", "1", sys.executable, "-m", __name__]
    # Each tensor gets an allocation of its own, so that reads past its end are seen.
    status, output = run_command(command, deadline, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})
    summary = re.findall(r"ERROR SUMMARY.*|RACECHECK SUMMARY.*", output) or [output[-300:]]
    return {"passed": status == 0, "detail": summary[-1]}


def main() -> None:
    """Runs the flow, and both directions of each operator at each size, and with a bias.

    With a bias the values are narrow and wide, as some kernels are for one of these.
    """
    if cuda_refusal() is None:
        frames = moving_clip(3, 65, 90).cuda()
        for preset in ("fast", "default", "best"):
            optical_flow(frames, preset=preset)
        rgb_to_grey(frames[..., None].expand(-1, -1, -1, 3))
    for side in (5, 9, 17):  # up to 64 positions, up to 256, and beyond: regimes of the kernels
        for channels in (16, 144):
            q, v, bias = (
                torch.randn(shape, dtype=torch.bfloat16, device="cuda", requires_grad=True)
                for shape in ((2, 2, side**2, 16), (2, 2, side**2, channels), (2, side**2, side**2))
            )
            y = pixel_attention(q, q, v, bias=bias, backend="triton")
            torch.autograd.grad(y.square().sum(), [q, v, bias])
        for operator in OPERATORS:
            case = Case(operator, 2, side, side, 32, 16, dtype="bfloat16", device="cuda")
            parity.results(ours(case, "triton"), make_inputs(case, "channels_last"))


if __name__ == "__main__":
    main()
