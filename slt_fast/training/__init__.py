"""Training: data sets, losses, the loop, resuming, scoring."""
