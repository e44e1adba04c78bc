"""Clips, flow images, vocabularies and batches: everything between files and the network."""
