"""Writes a manifest of a known data set. The same as slt-convert."""

from slt_fast.commands.convert import entry

if __name__ == "__main__":
    entry()
