"""Trains a translator by a recipe, scores it, shows examples. The same as slt-train."""

from slt_fast.commands.train import entry

if __name__ == "__main__":
    entry()
