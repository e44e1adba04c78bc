"""Scores anybody's translations. The same as slt-score."""

from slt_fast.commands.score import entry

if __name__ == "__main__":
    entry()
