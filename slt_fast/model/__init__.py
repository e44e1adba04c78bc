"""The network: backbone, encoder, decoder, and the translator that joins them."""
