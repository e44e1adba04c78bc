"""Serves a page that translates videos: the command slt-serve."""

from slt_fast.commands.serve import entry

if __name__ == "__main__":
    entry()
