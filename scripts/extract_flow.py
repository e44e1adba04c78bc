"""Computes the optical flow of a data set once. The same as slt-extract-flow."""

from slt_fast.commands.extract_flow import entry

if __name__ == "__main__":
    entry()
