"""Everything that needs a GPU, in one command: parity, determinism, times, targets.

    python scripts/gpu_report.py --output DIR

needs torch, triton and numpy, and no installation of this package. It writes DIR/report.json and
DIR/table.md as it goes; what fails or does not fit into --minutes is listed there with its reason.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the report")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all of it")
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="cpu: the kernels are interpreted, which checks numbers and takes long",
    )
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: a few tiny sizes")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and not arguments.tiny:
        parser.error("found --device cpu alone; expected --tiny, too: interpreted kernels are slow")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if arguments.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # triton reads it when it is imported

    import torch

    from benchmarks.gpu_report.run import num_wrong, write_report

    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("found no CUDA GPU; expected one, or --device cpu --tiny for a rehearsal")
    report = write_report(
        arguments.output,
        device=arguments.device,
        tiny=arguments.tiny,
        minutes=arguments.minutes,
        tell=lambda line: print(line, flush=True),
    )
    print((arguments.output / "table.md").read_text(encoding="utf-8"))
    return 1 if num_wrong(report) else 0


if __name__ == "__main__":
    sys.exit(main())
