"""A synthetic corpus: sign language with its own parameters, grammar and signers, drawn by code.

`grammar` draws glosses, sentence mode and text; `signs` gives each gloss its handshape, location,
movement and hands; `motion` turns them into one pose a frame; `signer` draws the signers; `render`
draws the frames; `corpus` makes the splits.
"""

from slt_fast.data.synthetic.corpus import SyntheticSource, read_synthetic

__all__ = ["SyntheticSource", "read_synthetic"]
