"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu_report --output DIR`.

plan.py lists the jobs, of suite.py, sanitizer.py and timings.py, and run.py runs them within the
report's time. report.py holds what is known so far, targets.py compares it with what should be
reached, and table.py writes it as Markdown.
"""
