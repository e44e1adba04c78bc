"""Parts of scripts/soak.py: a data set, trainings in processes, faults, and the comparison."""
