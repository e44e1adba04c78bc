"""Parts of scripts/reproduce.py: experiments, runs, trainings in processes, and the report."""
