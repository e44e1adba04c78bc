"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu_report --output DIR`.

suite.py      runs the tests of the kernels and keeps each result as soon as it is known
sanitizer.py  runs compute-sanitizer over all kernels at tiny sizes
timings.py    checks and times the peers of the operators, and the flow
plan.py       lists the jobs of a report
report.py     holds what is known so far
targets.py    compares it with what the operators should reach
table.py      writes it as Markdown
run.py        runs the plan within its time
"""
