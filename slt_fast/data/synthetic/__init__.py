"""A signer rendered by code: sign language with its own parameters, grammar and signers.

The way of a sentence: `grammar` draws glosses, sentence mode and text; `signs` gives each gloss its
handshape, location, movement and hands; `motion` turns them into one pose per frame; `signer` says
who signs; `render` draws the frames; `corpus` ties them to splits.
"""

from slt_fast.data.synthetic.corpus import SyntheticSource, read_synthetic

__all__ = ["SyntheticSource", "read_synthetic"]
