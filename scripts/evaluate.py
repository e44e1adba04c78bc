"""Scores a checkpoint on a split. The same as slt-evaluate."""

from slt_fast.commands.evaluate import entry

if __name__ == "__main__":
    entry()
