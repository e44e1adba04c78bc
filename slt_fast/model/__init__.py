"""The network: backbone, encoder and decoder."""
