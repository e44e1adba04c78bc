"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu_report --output DIR`.

suite.py      runs the tests of the kernels and keeps each result as soon as it is known
sanitizer.py  runs compute-sanitizer over all kernels at tiny sizes
timings.py    checks and times the peers of the operators, and the flow
plan.py       lists the jobs of a report
run.py        runs them within the report's time
report.py     holds what is known so far; targets.py compares it with what should be reached
table.py      writes it as Markdown
"""
