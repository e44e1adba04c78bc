"""Translates a video file or a folder of frames. The same as slt-translate."""

from slt_fast.commands.translate import entry

if __name__ == "__main__":
    entry()
