"""slt_fast: sign-language video to text, with fast operators that can be used alone.

Legend of dimensions, the same letters everywhere:

    B   clips of a batch (or images, for the operators of slt_fast.ops)
    T   frames of a clip, or its glosses if these are the input; sum(T) those of all clips of a
        batch, packed one after the other
    C   channels of a feature map
    H   height of a frame or a feature map
    W   width of a frame or a feature map
    N   positions of a map or a sequence that attention looks at (Nq queries, Nk keys)
    D   width of the temporal memory and of the decoder
    S   text tokens of a sentence
    G   entries of the gloss vocabulary
    V   entries of the text vocabulary
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slt_fast.version import __version__

if TYPE_CHECKING:
    from slt_fast.inference.translator import Translator

__all__ = ["Translator", "__version__"]


def __getattr__(name: str) -> type[Translator]:
    """Imports Translator when it is first used, because the operators alone need only torch."""
    if name != "Translator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from slt_fast.threads import wait_asleep

    wait_asleep()
    try:
        from slt_fast.inference.translator import Translator
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("slt_fast"):
            raise
        raise ModuleNotFoundError(
            f"slt_fast.Translator: found no module {error.name}; "
            "install the extra slt (pip install '.[slt]')",
            name=error.name,
        ) from error
    return Translator
