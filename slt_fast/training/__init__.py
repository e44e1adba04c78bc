"""Training: recipes, losses, the loop, checkpoints, scoring."""
