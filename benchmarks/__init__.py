"""Benchmarks of the operators: what is timed, against whom, and how far from the physical limit.

    cases.py     shapes, and inputs for them
    eager.py     the formulas as people write them, which every result is checked against
    peers.py     what is timed
    flow_pairs.py pairs of frames with true flow
    parity.py    the check that comes before any time
    timing.py    times on a CPU and on a GPU
    floors.py    the least time that the hardware allows
    reporting.py what the test_*.py files share
    gpu_report   everything that needs a GPU in one command: scripts/gpu_report.py
    tuning.py    block sizes of the kernels: scripts/tune.py

`pytest benchmarks --benchmark-only` times each operator on the machine at hand.
"""
