"""Runs the kernels' tests on a GPU, times every operator and compares the times with the targets.

    python -m benchmarks.gpu_report --output DIR

It needs torch, triton, numpy and pytest (with pytest-xdist and hypothesis), and no installation of
this package. It writes DIR/report.json and DIR/table.md as it goes. Parts that fail or do not fit
into --minutes are listed there with their reason. The exit status is 1 if a result is wrong
or not all tests ran.
"""

import argparse
import os
import sys
from pathlib import Path

import torch


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/gpu_report"), help="folder of the report")
    add("--minutes", type=float, default=9.0, help="time for the whole report")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: interpret the kernels")
    add("--tiny", action="store_true", help="rehearse with a few tiny sizes")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        if not arguments.tiny:
            parser.error("found --device cpu alone; expected --tiny with it: interpreting is slow")
        os.environ["TRITON_INTERPRET"] = "1"  # triton reads it when it is imported
    elif not torch.cuda.is_available():
        sys.exit("found no CUDA GPU; expected one, or --device cpu --tiny for a rehearsal")

    from benchmarks.gpu_report.run import Run

    settings = {"device": arguments.device, "tiny": arguments.tiny, "minutes": arguments.minutes}
    report = Run(arguments.output.resolve(), **settings).write()
    print((arguments.output / "table.md").read_text(encoding="utf-8"))
    return 1 if report.num_wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
