"""Benchmarks of the operators: what is timed, against which peers, and the hardware's limit.

    cases.py      shapes that are timed, and inputs for them
    eager.py      the formulas as people write them, which every result is checked against
    parity.py     the criterion of tests and benchmarks, checked before any time is taken
    peers.py      what is timed
    flow_pairs.py pairs of frames with true flow
    timing.py     times on a CPU and on a GPU
    floors.py     the least time that the hardware allows
    comparison.py ours and a peer in turns, for the test_*.py files
    machine.py    the machine and its software
    jobs.py       functions in processes that may crash or hang
    gpu_report    everything that needs a GPU: `python -m benchmarks.gpu_report`
    tuning.py     block sizes of the kernels: `python -m benchmarks.tuning`

`pytest benchmarks --benchmark-only` times each operator on the machine it runs on.
"""
