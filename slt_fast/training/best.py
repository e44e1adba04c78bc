"""Which score of the dev split tells checkpoints apart, and when there is no gain any more."""

from collections.abc import Sequence

from slt_fast.data.clip import AnnotatedClip
from slt_fast.errors import UserError
from slt_fast.metrics import deciding_score

_LOWER_IS_BETTER = ("wer", "text", "ctc")


def choosing_score(wanted: str, dev_clips: Sequence[AnnotatedClip]) -> str:
    """Returns the name of the score or loss that chooses the best checkpoint.

    Args:
        wanted: Its name, or "auto".
        dev_clips: The dev split.

    Raises:
        UserError: The score is one of glosses, and no clip has any.
    """
    if wanted == "auto":
        return deciding_score([clip.text for clip in dev_clips])
    if wanted in ("wer", "ctc") and not any(clip.glosses for clip in dev_clips):
        expected = "glosses there, or a score of the text"
        raise UserError(
            f"best_by {wanted!r}: found a dev split without glosses; expected {expected}"
        )
    return wanted


def is_better(name: str, score: float, other: float | None) -> bool:
    """Returns whether a score of a name is better than another one, or than none."""
    if other is None:
        return True
    return score < other if name in _LOWER_IS_BETTER else score > other
