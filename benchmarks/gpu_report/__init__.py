"""Everything that needs a GPU, in one command: see scripts/gpu_report.py.

jobs.py         runs functions in processes that may fail, hang or lose the GPU
correctness.py  parity of outputs and gradients in all types, over many shapes
checks.py       determinism, CUDA graphs, torch.compile, opcheck, large batches, gamma = 0
flow.py         parity, times and memory of the optical flow
timings.py      times of every peer
targets.py      what the operators should reach, and whether they do
sanitizer.py    compute-sanitizer over a tiny case
plan.py         which of these are run
report.py       report.json and table.md
"""
