"""Remakes slt_fast/ops/kernel_table.json: the block sizes of the kernels, measured on a GPU.

    python scripts/tune.py --kernel projection --minutes 10

Only rows of the GPU's own architecture are replaced or added.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from benchmarks import tuning  # noqa: E402
from slt_fast.ops import kernel_table  # noqa: E402


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kernel",
        action="append",
        choices=sorted(tuning.BLOCKS),
        help="only this; may be repeated",
    )
    parser.add_argument("--minutes", type=float, default=120.0, help="time for all of it")
    parser.add_argument(
        "--table",
        type=Path,
        default=kernel_table.PATH,
        help="what is written, the table by default",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print rows and candidates; needs no GPU"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if not arguments.dry_run and not torch.cuda.is_available():
        sys.exit("found no CUDA GPU; expected one, or --dry-run")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    architecture = kernel_table.architecture_of(device)
    rows = [
        row
        for row in tuning.current_rows(kernel_table.rows(), architecture)
        if not arguments.kernel or tuning.base_name(row.kernel) in arguments.kernel
    ]
    if arguments.dry_run:
        for row in rows:
            print(f"sm_{row.architecture} {tuning.describe(row)}")
            for candidate in tuning.candidates(row):
                print(f"    {tuning.describe(candidate).partition(': ')[2]}")
        return
    best = tuning.tune(rows, architecture, arguments.minutes, print)
    tuning.write_table(arguments.table, tuning.merged(kernel_table.rows(), best))
    print(f"{arguments.table}: {len(best)} of {len(rows)} rows measured for sm_{architecture}")


if __name__ == "__main__":
    main()
