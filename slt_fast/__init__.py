"""slt_fast: sign-language video to text, with fast operators that can be used alone.

Legend of dimensions, the same letters everywhere:

    B   clips of a batch (or images, for the operators of slt_fast.ops)
    T   frames of a clip; sum(T) frames of all clips of a batch, packed one after the other
    C   channels of a feature map
    H   height of a frame or a feature map
    W   width of a frame or a feature map
    N   positions of a map or a sequence that attention looks at (Nq queries, Nk keys)
    D   width of the temporal memory and of the decoder
    S   text tokens of a sentence
    G   entries of the gloss vocabulary
    V   entries of the text vocabulary
"""

__version__ = "0.2.0"
