"""Folders of images: which files are the frames of a clip, and how one of them is read."""
